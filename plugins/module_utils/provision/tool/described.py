"""Installing a tool that is described as data."""

from __future__ import annotations

import os
import tempfile

from ..store.members import unpack
from .install import InstallError, Tool
from .version import last_line, run_command, told_version


class Described(Tool):
    """One tool, by its description."""

    def __init__(self, description):
        self._description = description
        self.name, self.title = description["name"], description["title"]

    def unpack(self, given, folder):
        """Unpack an archive and bring what is in its one folder, if it has but one, to the top."""
        with tempfile.TemporaryDirectory(dir=folder) as inner:
            try:
                unpack(given["archive"], inner)
            except ValueError as error:
                raise InstallError(f"{error}.", "Make or download it again.", code="bad-archive") from error
            names = os.listdir(inner)
            top = inner if "bin" in names or len(names) != 1 else os.path.join(inner, names[0])
            if not os.path.isdir(os.path.join(top, "bin")):
                raise InstallError(f"{given['archive']} has no folder bin.", "Give another.", code="bad-archive")
            for name in os.listdir(top):
                os.rename(os.path.join(top, name), os.path.join(folder, name))

    def smoke_test(self, folder):
        """Have the commands tell their version, run the tests, and return (version, the commands to link)."""
        folder = os.path.join(folder, "bin")
        version, problem = told_version(folder, self._description)
        if problem:
            raise InstallError(f"{problem}.", code="does-not-run")
        for words in self._description.get("tests") or []:
            code, out, error = run_command(folder, words, self._description)
            if code:
                raise InstallError(f"{' '.join(words)} failed: {last_line(out, error)}.", code="does-not-run")
        missing = [name for name in self._description["commands"] if not os.path.exists(os.path.join(folder, name))]
        if missing:
            raise InstallError(f"It has no command {', '.join(missing)}.", code="no-command")
        return version, self._description["commands"]

    def is_exact(self, given):
        """Tell that the version wanted is always the one that the commands tell."""
        return True
