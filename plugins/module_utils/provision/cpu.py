"""The x86-64 levels, and which one this machine has."""

from __future__ import annotations

import platform
import re

from .reading import read_text

# The instructions of each x86-64 level as /proc/cpuinfo names them: x86-64 psABI 1.0, table 3.1
# (https://gitlab.com/x86-psABIs/x86-64-ABI); `pni` is SSE3, `abm` LZCNT, and OSXSAVE shows as `xsave`.
_LEVEL_FLAGS = (
    ("x86-64-v2", {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"}),
    ("x86-64-v3", {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}),
    ("x86-64-v4", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
)
LEVELS = ("x86-64", *(name for name, _flags in _LEVEL_FLAGS))


def cpu_flags(cpuinfo=None):
    """Return the features of the first processor in /proc/cpuinfo."""
    found = re.search(
        r"^(?:flags|Features)\s*:\s*(.*)$", read_text("/proc/cpuinfo") if cpuinfo is None else cpuinfo, re.M
    )
    return set(found.group(1).split()) if found else set()


def cpu_level(cpuinfo=None):
    """Return this machine's level, such as ``x86-64-v3``; ``armv8-a`` on 64-bit ARM, empty elsewhere."""
    if platform.machine() == "aarch64":
        return "armv8-a"
    if platform.machine() != "x86_64":
        return ""
    flags = cpu_flags(cpuinfo)
    level = LEVELS[0]
    for name, needed in _LEVEL_FLAGS:
        if not needed <= flags:
            break
        level = name
    return level


def own_cpu(level):
    """Return the level that a machine compiles for by default: never v4, which the next machine may lack."""
    return "x86-64-v3" if level == "x86-64-v4" else level
