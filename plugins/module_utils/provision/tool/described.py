"""Installing a tool that is described as data."""

from __future__ import annotations

import os
import signal
import tempfile

from .image import write_blob
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
        return version, self.commands_in(folder)

    def commands_in(self, folder):
        """Return the commands to link: those named, or all; raise InstallError if one is missing."""
        missing = [name for name in self.about_it["commands"] if not os.path.exists(os.path.join(folder, name))]
        if missing:
            raise InstallError(f"{self.title} has no command {', '.join(missing)}.", code="no-command")
        paths = ((name, os.path.join(folder, name)) for name in sorted(os.listdir(folder)))
        every = [name for name, path in paths if os.path.isfile(path) and os.access(path, os.X_OK)]
        return self.about_it["commands"] or every

    def version_in_place(self, folder, foreign=False):
        """Ask the commands of a folder for their version, run the tests, and return the version."""
        version, problem = told_version(folder, self.about_it, foreign)
        if problem:
            raise InstallError(f"{problem}.", code="does-not-run")
        with tempfile.TemporaryDirectory() as place:
            for words in self.about_it.get("tests") or []:
                if words[0] in (self.about_it.get("commands") or [words[0]]):
                    self._test(folder, words, foreign, place)
        return version

    def _test(self, folder, words, foreign, place):
        """Run a command; IMAGE in its arguments stands for a small image, and OUT for the beginning of a new file."""
        image = os.path.join(place, "image.nii")
        if not os.path.exists(image):
            write_blob(image)
        asked = [word.replace("IMAGE", image).replace("OUT", os.path.join(place, "out")) for word in words]
        code, out, error = run_command(folder, asked, self.about_it, foreign)
        if code:
            why = last_line(out, error) or (f"exit code {code}" if code > 0 else signal.strsignal(-code))
            raise InstallError(f"{words[0]} does not work: {why.rstrip('.')}.", self._hint(words[0]), "does-not-run")

    def _hint(self, broken):
        """Return how to do without a command that does not work, if others can be had without it."""
        others = [words[0] for words in self.about_it["tests"] if words[0] != broken]
        return f"If you can do without it, name the commands to link: {self.name}_commands={others}." if others else ""

    def is_exact(self, given):
        """Return that the commands always report the version exactly."""
        return True

    def noted(self):
        """Return the description, which later checks need, and shells for the environment."""
        return {"tool": self.about_it}
