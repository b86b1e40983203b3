"""Whether programs, libraries and objects (ELF) are whole."""

from __future__ import annotations

import os
import sys


def is_whole_elf(path):
    """Tell whether an ELF file has everything its header promises: a killed assembler or linker leaves less."""
    # The section headers are written last and stand at the end (System V ABI, chapter 4), so they must lie in the file.
    with open(path, "rb") as file:
        header = file.read(64)
    if len(header) < 64 or header[:4] != b"\x7fELF" or header[4] != 2:
        return False
    offset = int.from_bytes(header[40:48], sys.byteorder)
    size, count = (int.from_bytes(header[at : at + 2], sys.byteorder) for at in (58, 60))
    return offset > 0 and offset + size * count <= os.path.getsize(path)
