"""Writing files completely or not at all."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from contextlib import suppress


def make_folder(path, mode=0o755):
    """Make a folder and its missing parents with this mode, whatever the umask; existing ones stay as they are."""
    path, missing = os.path.abspath(path), []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder, mode)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise
            continue  # another process has just made it
        with suppress(OSError):  # a mounted Drive has no permissions
            os.chmod(folder, mode)


def plain_modes(folder):
    """Give a folder and its content the modes of a package's files, whatever the umask or their origin."""
    os.chmod(folder, 0o755)
    for parent, folders, names in os.walk(folder):
        for path in (os.path.join(parent, name) for name in folders + names):
            if not os.path.islink(path):
                mode = os.stat(path).st_mode
                os.chmod(path, 0o755 if stat.S_ISDIR(mode) or mode & 0o100 else 0o644)


def write_json(path, value, mode=0o644, alone=False):
    """Write a value as JSON under a temporary name and rename it, so that readers never see half of it."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True), mode, alone)


def write_text(path, text, mode=0o644, alone=False):
    """Write a file under a temporary name, readable only by its owner, and rename it.

    A writer that is `alone`, because it holds the file's lock, first deletes what killed ones left.
    """
    folder = os.path.dirname(path)
    make_folder(folder)
    if alone:
        drop_half_written(path)
    handle, name = tempfile.mkstemp(prefix=_half_written(path), dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            set_mode(file.fileno(), mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _half_written(path):
    return f".new-{os.path.basename(path)}-"


def drop_half_written(path):
    """Delete temporary files that killed writers left beside a file; the caller holds the file's lock."""
    folder = os.path.dirname(path)
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        if name.startswith(_half_written(path)):
            with suppress(OSError):
                os.unlink(os.path.join(folder, name))


def drop_file(path):
    """Delete a file, if there is one, and what killed writers left beside it; the caller holds the file's lock."""
    drop_half_written(path)
    with suppress(FileNotFoundError):
        os.unlink(path)


def set_mode(descriptor, mode):
    """Set the permissions of an open file or folder; a mounted Drive has none."""
    with suppress(OSError):
        os.fchmod(descriptor, mode)
