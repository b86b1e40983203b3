"""Source trees to build."""

from .source_tree import _no_hangup, clone, source  # noqa: F401
