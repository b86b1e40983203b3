"""Reading files, where an unreadable file counts as empty."""

from __future__ import annotations

import json
import os


def read_text(path):
    """Return a file's text, an empty string if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def names_in(folder):
    """Return the names in a folder, none if it cannot be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def sha256_of(path):
    """Return the SHA-256 of a file in hexadecimal, an empty string if it cannot be read."""
    import hashlib  # the other checks do not need it, and start faster

    try:
        with open(path, "rb") as file:
            found = hashlib.sha256()
            for block in iter(lambda: file.read(1 << 18), b""):
                found.update(block)
            return found.hexdigest()
    except OSError:
        return ""


def _starts_with(path, start):
    try:
        with open(path, "rb") as file:
            return file.read(len(start)) == start
    except OSError:
        return False


def is_elf(path):
    """Return whether a file is a compiled program or library."""
    return _starts_with(path, b"\x7fELF")


def is_script(path):
    """Return whether a file starts with ``#!``."""
    return _starts_with(path, b"#!")


def read_json(path):
    """Return the JSON object in a file, an empty dict if there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
