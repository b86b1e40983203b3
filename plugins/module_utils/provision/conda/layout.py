"""Laying the files of an unpacked conda package out in an environment, as conda would."""

# The format: https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html and, for the metadata,
# https://github.com/conda/ceps (CEP 34). Scripts that packages want to have run after linking are not run.

from __future__ import annotations

import json
import os
import re
import shlex
from collections import namedtuple

from ..failures import Problem
from ..store.members import words_of

# What the Linux kernel reads of a script's first line (BINPRM_BUF_SIZE, linux/binfmts.h); 127 before Linux 5.1.
_LONGEST_SHEBANG = 127
_INFO = "info"
_ENTRY_POINT = re.compile(r"\s*([\w.-]+)\s*=\s*([\w.]+)\s*:\s*([\w.]+)\s*")

_Entry = namedtuple("_Entry", "path placeholder mode")
_SCRIPT = """\
{shebang}
# -*- coding: utf-8 -*-
import re
import sys

from {module} import {imported}

if __name__ == '__main__':
\tsys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])
\tsys.exit({function}())
"""


class LayoutError(Problem):
    """A package that cannot be laid out."""

    code = "bad-package"


def lay_out(package, environment, prefix, python=""):
    """Move the files of an unpacked package into an environment that will be found at `prefix`; return their paths.

    `python` is the version of the environment's Python, such as ``3.12``.
    """
    noarch = _json(package, "link.json").get("noarch") or {}
    is_python = noarch.get("type") == "python"
    if is_python and not python:
        raise LayoutError("it needs Python, which the lock does not have")
    laid = []
    for entry in _entries(package):
        source = os.path.join(package, *words_of(entry.path))
        path = _python_path(entry.path, python) if is_python else entry.path
        if entry.placeholder and not os.path.islink(source):
            _relocate(source, entry, prefix)
        _move(source, environment, path)
        laid.append(path)
    for command, module, function in _entry_points(noarch) if is_python else ():
        laid.append(f"bin/{command}")
        _write_script(os.path.join(environment, "bin", command), f"{prefix}/bin/python{python}", module, function)
    return laid


# --- What a package says about its files ------------------------------------------------------------------------------


def _json(package, name):
    try:
        with open(os.path.join(package, _INFO, name), encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise LayoutError(f"its {name} is not JSON") from error
    return found if isinstance(found, dict) else {}


def _entries(package):
    """Return the files of a package."""
    listed = _json(package, "paths.json").get("paths")
    if listed is None:
        return _old_entries(package)
    try:
        return [
            _Entry(entry["_path"], entry.get("prefix_placeholder") or "", entry.get("file_mode") or "text")
            for entry in listed
            if entry.get("path_type") != "directory"
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise LayoutError("its paths.json makes no sense") from error


def _old_entries(package):
    """Return the files of a package from before ``paths.json``, or made by other means."""
    relocated = {}
    for line in _lines(package, "has_prefix"):
        words = shlex.split(line)
        relocated[words[-1]] = (words[0], words[1]) if len(words) == 3 else (_DEFAULT_PLACEHOLDER, "text")
    return [_Entry(name, *relocated.get(name, ("", ""))) for name in _lines(package, "files")]


_DEFAULT_PLACEHOLDER = "/opt/anaconda1anaconda2anaconda3"  # conda-build's, for lines that name none


def _lines(package, name):
    try:
        with open(os.path.join(package, _INFO, name), encoding="utf-8") as file:
            return [line for line in file.read().split("\n") if line.strip()]
    except FileNotFoundError:
        return []


# --- Where they go ----------------------------------------------------------------------------------------------------


def _python_path(path, python):
    """Return where a file of a package for any Python goes."""
    top, _slash, rest = path.partition("/")
    folders = {"site-packages": f"lib/python{python}/site-packages", "python-scripts": "bin"}
    return f"{folders[top]}/{rest}" if top in folders else path


def _move(source, environment, path):
    """Move a file to its place; a file of an earlier package with the same path is replaced, as conda does."""
    *folders, name = words_of(path)
    folder = environment
    for word in folders:
        folder = os.path.join(folder, word)
        if os.path.islink(folder):
            raise LayoutError(f"{path} would be reached through a link")
        if not os.path.isdir(folder):
            os.mkdir(folder)
    target = os.path.join(folder, name)
    if os.path.isdir(target) and not os.path.islink(target):
        raise LayoutError(f"{path} is a folder in another package")
    if not os.path.lexists(source):
        raise LayoutError(f"{path} is missing in it")
    os.replace(source, target)


def _relocate(path, entry, prefix):
    """Replace the placeholder in a file with the prefix."""
    with open(path, "rb") as file:
        data = file.read()
    old, new = entry.placeholder.encode(), prefix.encode()
    if entry.mode == "binary":
        changed = _in_binary(data, old, new, entry.path)
    else:
        changed = _plain_shebang(data.replace(old, new), new) if old in data else data
    if changed != data:
        with open(path, "r+b") as file:
            file.write(changed)
            file.truncate()


def _in_binary(data, old, new, name):
    """Replace a prefix within the strings of a program, which keep their lengths."""
    parts, at = [], 0
    while True:
        found = data.find(old, at)
        if found < 0:
            return b"".join([*parts, data[at:]])
        end = data.find(b"\0", found)
        end = len(data) if end < 0 else end
        text = data[found:end].replace(old, new)
        if len(text) > end - found:
            raise LayoutError(f"the folder's path is too long to be written into {name}", "", "prefix")
        parts += [data[at:found], text.ljust(end - found, b"\0")]
        at = end


def _plain_shebang(data, prefix):
    """Return a script whose first line the kernel can read, also if that of the package is too long or has spaces."""
    line, newline, rest = data.partition(b"\n")
    if not (line.startswith(b"#!") and prefix in line):
        return data
    before, _prefix, after = line[2:].partition(prefix)
    tail, _blank, arguments = after.partition(b" ")
    return _shebang((before.strip() + prefix + tail).decode(), arguments.decode().strip()).encode() + newline + rest


def _shebang(program, arguments=""):
    """Return the first line of a script; for Python, a line that sh and Python both understand if need be."""
    line = f"#!{program} {arguments}".rstrip()
    if len(line) <= _LONGEST_SHEBANG and " " not in program:
        return line
    name, arguments = os.path.basename(program), f" {arguments}" if arguments else ""
    if not name.startswith("python"):
        return f"#!/usr/bin/env {name}{arguments}"
    return f"""#!/bin/sh\n'''exec' "{program}"{arguments} "$0" "$@" #'''"""


def _entry_points(noarch):
    """Return (command, module, function) for each command that a package for any Python wants made."""
    found = []
    for text in noarch.get("entry_points") or []:
        parts = _ENTRY_POINT.fullmatch(str(text))
        if not parts or parts[1].startswith("."):
            raise LayoutError(f"its entry point {str(text)[:60]!r} makes no sense")
        found.append(parts.groups())
    return found


def _write_script(path, python, module, function):
    imported = function.split(".")[0]
    text = _SCRIPT.format(shebang=_shebang(python), module=module, imported=imported, function=function)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, "x", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)
