"""An installation, and a store for it."""

from .packed import prefix, shelf  # noqa: F401
