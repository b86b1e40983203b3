"""Installing a tool that is described as data."""

from __future__ import annotations

import os

from .install import InstallError, Tool, unpacked_build
from .version import last_line, run_command, told_version


class Described(Tool):
    """One tool, by its description."""

    def unpack(self, given, folder):
        """Unpack an archive and bring what is in its one folder, if it has but one, to the top."""
        with unpacked_build(given["archive"], folder) as top:
            for name in os.listdir(top):
                os.rename(os.path.join(top, name), os.path.join(folder, name))

    def smoke_test(self, folder):
        """Have the commands tell their version, run the tests, and return (version, the commands to link)."""
        folder = os.path.join(folder, "bin")
        version = self.version_in_place(folder)
        missing = [name for name in self.about_it["commands"] if not os.path.exists(os.path.join(folder, name))]
        if missing:
            raise InstallError(f"It has no command {', '.join(missing)}.", code="no-command")
        return version, self.about_it["commands"]

    def version_in_place(self, folder, foreign=False):
        """Have the commands of a folder report the version, run the tests, and return that."""
        version, problem = told_version(folder, self.about_it, foreign)
        if problem:
            raise InstallError(f"{problem}.", code="does-not-run")
        for words in self.about_it.get("tests") or []:
            code, out, error = run_command(folder, words, self.about_it, foreign)
            if code:
                raise InstallError(f"{' '.join(words)} failed: {last_line(out, error)}.", code="does-not-run")
        return version

    def is_exact(self, given):
        """Tell that the version wanted is always the one that the commands tell."""
        return True

    def noted(self):
        """Return the description, by which later looks ask the tool what it is and shells learn its environment."""
        return {"tool": self.about_it}
