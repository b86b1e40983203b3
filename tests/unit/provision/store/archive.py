"""What the builds of these tests are called, and files of some age."""

import os
import time

MANIFEST = {
    "tool": "mrtrix3",
    "version": "3.0.8",
    "release": "debian-12",
    "arch": "x86_64",
    "cpu": "x86-64-v3",
    "glibc": "2.34",
    "commands": ["mrinfo"],
    "asked": [],
    "complete": True,
}
KEY = "mrtrix3-3.0.8-debian12-x86_64-x86-64-v3"
UNFINISHED = "mrtrix3-0123456789ab-0123456789ab"


def touch(path, days, size=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time() - days * 86_400,) * 2)
    return path
