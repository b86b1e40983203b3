"""Installing a tool that is described as data."""

from __future__ import annotations

import os

from .install import InstallError, Tool, unpacked_build
from .version import last_line, run_command, told_version


class Described(Tool):
    """A tool, by its description."""

    def unpack(self, given, folder):
        """Unpack an archive; if it holds a single folder, move that folder's content to the top."""
        with unpacked_build(given["archive"], folder) as top:
            for name in os.listdir(top):
                os.rename(os.path.join(top, name), os.path.join(folder, name))

    def smoke_test(self, folder):
        """Ask the commands for their version, run the tests, and return (version, the commands to link)."""
        folder = os.path.join(folder, "bin")
        version = self.version_in_place(folder)
        missing = [name for name in self.about_it["commands"] if not os.path.exists(os.path.join(folder, name))]
        if missing:
            raise InstallError(f"{self.title} has no command {', '.join(missing)}.", code="no-command")
        return version, self.about_it["commands"]

    def version_in_place(self, folder, foreign=False):
        """Ask the commands of a folder for their version, run the tests, and return the version."""
        version, problem = told_version(folder, self.about_it, foreign)
        if problem:
            raise InstallError(f"{problem}.", code="does-not-run")
        for words in self.about_it.get("tests") or []:
            code, out, error = run_command(folder, words, self.about_it, foreign)
            if code:
                raise InstallError(f"{' '.join(words)} failed: {last_line(out, error)}.", code="does-not-run")
        return version

    def is_exact(self, given):
        """Return that the commands always report the version exactly."""
        return True

    def noted(self):
        """Return the description, which later checks need, and shells for the environment."""
        return {"tool": self.about_it}
