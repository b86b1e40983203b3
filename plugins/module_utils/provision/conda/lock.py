"""The lock of a tool: the conda packages that make it up, each with its address and digest."""

from __future__ import annotations

import re
from collections import namedtuple

from ..failures import Problem

PLATFORMS = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}  # the names of conda's folders, by `uname -m`
_BASE_CPU = {"linux-64": "x86-64", "linux-aarch64": "armv8-a"}  # what their packages are compiled for
# What others depend on that need a level: https://github.com/conda-forge/microarch-level-feedstock
_LEVEL = re.compile(r"_x86_64-microarch-level-([1-4])-")
FILE = "conda.lock.json"  # a role's own lock, in its folder files
SUFFIXES = (".conda", ".tar.bz2")
_DIGITS = {"sha256": 64, "md5": 32}
_MOST_PACKAGES = 1000
LARGEST = 4 << 30  # bytes of one package


class LockError(Problem):
    """A lock that cannot be used."""

    code = "bad-lock"


class Package(namedtuple("Package", "name url sha256 md5 size licence")):
    """A package of a lock; `sha256` or `md5` may be empty, and `size` 0 if it is unknown."""

    @property
    def file(self):
        """Its file name."""
        from urllib.parse import unquote  # as hashlib below: a look at a machine needs neither, and starts faster

        return unquote(self.url.rpartition("/")[2])

    @property
    def kept(self):
        """The name under which it is kept, which follows from its digest."""
        return (self.sha256 or self.md5) + next(suffix for suffix in SUFFIXES if self.file.endswith(suffix))

    def at(self, mirror):
        """Return it with its address on a mirror: MIRROR/CHANNEL/PLATFORM/FILE."""
        return self._replace(url="/".join([mirror.rstrip("/"), *self.url.split("/")[-3:]])) if mirror else self


class Lock(namedtuple("Lock", "tool version platform packages programs_of")):
    """A lock; its packages are in the order in which they are laid out.

    `programs_of` are the packages whose programs are the commands of the tool.
    """

    @property
    def size(self):
        """The bytes of all packages, as far as they are known."""
        return sum(package.size for package in self.packages)

    @property
    def digest(self):
        """A digest of all packages, which tells two locks apart."""
        import hashlib

        return hashlib.sha256("\n".join(package.kept for package in self.packages).encode()).hexdigest()

    @property
    def cpu(self):
        """The processor that its packages are compiled for, such as ``x86-64-v3``."""
        levels = [int(found[1]) for found in map(_LEVEL.match, (package.file for package in self.packages)) if found]
        return f"x86-64-v{max(levels)}" if levels and max(levels) > 1 else _BASE_CPU.get(self.platform, "")

    @property
    def python(self):
        """The Python that it has, such as ``3.12``, empty if it has none."""
        names = [package.file for package in self.packages if package.name == "python"]
        found = re.match(r"python-(\d+\.\d+)", names[0]) if names else None
        return found[1] if found else ""


def read_lock(given):
    """Return the Lock in a parsed file; LockError if it is none."""
    if not isinstance(given, dict):
        raise LockError("The lock is not a JSON object.", "Make it with: provision lock.")
    for name in ("tool", "version", "platform"):
        if not (isinstance(given.get(name), str) and given[name]):
            raise _bad(f"it has no {name}")
    listed = given.get("packages")
    if not (isinstance(listed, list) and 0 < len(listed) <= _MOST_PACKAGES):
        raise _bad("it has no packages")
    packages = tuple(_package(entry) for entry in listed)
    names = [package.name for package in packages]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise _bad(f"it has {twice} twice")
    programs_of = given.get("programs_of") or [given["tool"]]
    if not isinstance(programs_of, list) or not set(map(str, programs_of)) <= set(names):
        raise _bad("programs_of lists others than its packages")
    return Lock(given["tool"], given["version"], given["platform"], packages, programs_of)


def _package(entry):
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in ("name", "url")):
        raise _bad("one of its packages has no name or url")
    name, size = entry["name"], entry.get("size", 0)
    if not re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", name):
        raise _bad(f"{name[:60]!r} is not the name of a package")
    digests = {kind: _digest(name, kind, entry.get(kind) or "") for kind in _DIGITS}
    if not any(digests.values()):
        raise _bad(f"{name} has neither sha256 nor md5")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= LARGEST:
        raise _bad(f"the size of {name} is not a number of bytes")
    package = Package(name, entry["url"], digests["sha256"], digests["md5"], size, str(entry.get("licence") or ""))
    if (
        package.url.count("/") < 2
        or not re.fullmatch(r"[\w.+!-]+", package.file)
        or not package.file.endswith(SUFFIXES)
    ):
        raise _bad(f"the url of {name} does not end in CHANNEL/PLATFORM/FILE with a .conda or .tar.bz2 file")
    return package


def _digest(name, kind, value):
    if value and not (isinstance(value, str) and re.fullmatch(f"[0-9A-Fa-f]{{{_DIGITS[kind]}}}", value)):
        raise _bad(f"the {kind} of {name} is not {_DIGITS[kind]} hexadecimal digits")
    return value.lower()


def _bad(why):
    return LockError(f"The lock cannot be used: {why}.", "Make it again with: provision lock.")
