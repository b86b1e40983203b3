"""Comparing versions: what is a release, and whether a version is the one wanted."""

from __future__ import annotations

import re


def is_release(version):
    """Tell whether a version is a release, which is the same everywhere, and no branch or commit."""
    return re.fullmatch(r"\d+\.\d+\.\d+", version) is not None


def numbers(version):
    """Return a version's numbers for comparing: (2, 36) of ``2.36``."""
    return tuple(int(number) for number in re.findall(r"\d{1,9}", version))


def satisfies(version, wanted, release=""):
    """Tell whether a version is the one wanted: that one, ``any``, or ``auto`` for the `release` or a later one."""
    # Of a branch or commit it is not known when it was, and so it is taken for later.
    if wanted == "auto":
        return bool(version) and not (is_release(version) and numbers(version) < numbers(release))
    return wanted in ("any", version)
