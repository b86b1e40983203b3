"""Comparing versions."""

from __future__ import annotations

import re


def is_release(version):
    """Return whether a version is a release, which is the same everywhere, rather than a branch or commit."""
    return re.fullmatch(r"\d+\.\d+\.\d+", version) is not None


def numbers(version):
    """Return a version's numbers for comparison: (2, 36) for ``2.36``."""
    return tuple(int(number) for number in re.findall(r"\d{1,9}", version))


def satisfies(version, wanted, release=""):
    """Return whether a version is the one wanted: that one, ``any``, or ``auto`` for the `release` or a later one."""
    # A branch or commit has no known place among the releases, and counts as later.
    if wanted == "auto":
        return bool(version) and not (is_release(version) and numbers(version) < numbers(release))
    return wanted in ("any", version)
