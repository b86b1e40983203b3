"""Making an environment of conda packages, and a folder with links to the commands of one tool."""

from __future__ import annotations

import os
import tempfile

from .layout import LayoutError, lay_out
from .package import unpack_package

ENVIRONMENT = "env"


def lay_out_packages(lock, files, folder, prefix):
    """Lay the packages of a lock out in ``env`` of a folder that will be at `prefix`.

    Return the names of the tool's programs.
    """
    environment, own = os.path.join(folder, ENVIRONMENT), []
    os.mkdir(environment)
    for package, file in zip(lock.packages, files):  # noqa: B905 (Python 3.9)
        laid = _lay_out(package, file, environment, os.path.join(prefix, ENVIRONMENT), lock.python)
        if package.name in lock.programs_of:
            own += [os.path.basename(path) for path in laid if os.path.dirname(path) == "bin"]
    return own


def _lay_out(package, file, environment, prefix, python):
    with tempfile.TemporaryDirectory(dir=os.path.dirname(environment)) as unpacked:
        try:
            unpack_package(file, unpacked)
            return lay_out(unpacked, environment, prefix, python)
        except ValueError as error:
            raise LayoutError(
                f"{error}.", "Make or download it again.", getattr(error.__cause__, "code", "")
            ) from error
        except LayoutError as error:
            why = f"The package {package.file} cannot be used: {error.message}."
            raise LayoutError(why, error.hint or "Make the lock again with: provision lock.", error.code) from error


def link_commands(folder, names):
    """Make ``bin`` in a folder, with links to commands of its environment; those that are missing are left out."""
    os.mkdir(os.path.join(folder, "bin"))
    for name in names:
        if os.path.exists(os.path.join(folder, ENVIRONMENT, "bin", name)):
            os.symlink(os.path.join("..", ENVIRONMENT, "bin", name), os.path.join(folder, "bin", name))
