"""Whether programs, libraries and objects (ELF) are complete."""

from __future__ import annotations

import os
import sys


def is_whole_elf(path):
    """Return whether an ELF file is complete: a killed assembler or linker leaves a shorter one."""
    # The section headers are written last, at the end (System V ABI, chapter 4), so they must be in the file.
    with open(path, "rb") as file:
        header = file.read(64)
    if len(header) < 64 or header[:4] != b"\x7fELF" or header[4] != 2:
        return False
    offset = int.from_bytes(header[40:48], sys.byteorder)
    size, count = (int.from_bytes(header[at : at + 2], sys.byteorder) for at in (58, 60))
    return offset > 0 and offset + size * count <= os.path.getsize(path)
