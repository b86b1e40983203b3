"""A server that behaves as it is asked to, and no proxy before it."""

from .servers import _without_proxies, server  # noqa: F401
