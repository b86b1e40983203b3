"""A small image, on which programs are tried before they are installed."""

from __future__ import annotations

import struct


def write_image(path, shape, voxels):
    """Write a NIfTI-1 image of unsigned bytes, with voxels of 1 mm and the axes of the scanner."""
    # Field offsets: nifti1.h.
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 2, 8)  # datatype: unsigned char
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<3f", header, 108, 352, 1, 0)  # offset of the voxels; slope and intercept
    struct.pack_into("<2h", header, 252, 0, 1)  # only the affine is valid
    for row in range(3):
        struct.pack_into("<4f", header, 280 + 16 * row, *(float(column == row) for column in range(4)))
    header[344:348] = b"n+1\0"
    with open(path, "wb") as file:
        file.write(bytes(header) + bytes(voxels))


def write_blob(path):
    """Write an image of a ball in noise-free space, brighter towards its middle."""
    half = range(-12, 12)
    voxels = [max(0, 220 - 2 * (x * x + y * y + z * z)) for z in half for y in half for x in half]
    write_image(path, (24, 24, 24), voxels)
