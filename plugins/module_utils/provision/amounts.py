"""Numbers as people read them."""

from __future__ import annotations


def format_bytes(number):
    """Return a size in powers of 1000, as disks and networks count: 512 B, 20.8 MB."""
    if number < 1000:
        return f"{number:.0f} B"
    for unit in ("kB", "MB", "GB"):
        number /= 1000
        if round(number, 1) < 1000:
            return f"{number:.1f} {unit}"
    return f"{number / 1000:.1f} TB"
