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


def format_seconds(seconds):
    """Return a duration in its two largest units: 2.1 s, 1 min 15 s, 2 h."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    # From an hour on in whole minutes, so that 59.9 min and 1 h do not meet as "60 min".
    whole = round(seconds) if round(seconds) < 3600 else 60 * round(seconds / 60)
    parts = ((whole // 3600, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
