"""Installing MRtrix3, from any of its origins."""

from __future__ import annotations

import os

from ..cpu import cpu_level, own_cpu
from ..reading import is_elf, is_script
from ..store.portable import finish, flags_in_config, gather, gather_tree
from ..versions import is_release
from .install import InstallError, Tool, unpacked_build
from .version import mrtrix3_version

# Measured: docs/building.md.
_GENERIC = (
    "It is compiled for any x86-64 processor. Compiled for this one, dwi2fod and dwidenoise take a third less time: "
    "provision run mrtrix3 --origin source."
)


class MRtrix3(Tool):
    """MRtrix3, from any of its origins."""

    def gather(self, given, folder):
        """Copy the commands, and what building modules needs, from a built tree."""
        gather_tree(given["tree"], folder)

    def unpack(self, given, folder):
        """Unpack any archive of a build, with ``bin``, ``lib`` and ``share`` at the top of a folder."""
        with unpacked_build(given["archive"], folder) as top:
            gather([top], folder)
        finish(folder)

    def smoke_test(self, folder):
        """Run a compiled and a Python command; return (version, all commands)."""
        folder = os.path.join(folder, "bin")
        compiled, scripts = commands_in(folder)
        if not compiled:
            raise InstallError(f"There is no MRtrix3 command in {folder}.", code="does-not-run")
        chosen = [
            first if first in names else names[0]
            for names, first in ((compiled, "mrinfo"), (scripts, "dwi2response"))
            if names
        ]
        return try_commands(folder, chosen), compiled + scripts

    def is_exact(self, given):
        """Return whether the version wanted is a release: a branch or commit reports the release before it."""
        return given["version"] == "any" or is_release(given["version"])

    def about(self, given, folder):
        """Return the compiler's flags."""
        return {"flags": flags_in_config(given["tree"])}

    def report(self, given, manifest):
        """Return the processor it was compiled for, and its archive."""
        return {"cpu": manifest.get("cpu", given["cpu"]), "archive": given["source"] or given["archive"] or ""}

    def what_changed(self, old, new):
        """Return notes on what has changed; generic code deserves one, since a build of one's own is faster."""
        notes = super().what_changed(old, new)
        origins = [state.get("report", {}).get("origin") for state in (old, new)]
        is_generic = new.get("report", {}).get("cpu") == "x86-64"
        if origins[1] == "conda" != origins[0] and is_generic and own_cpu(cpu_level()) == "x86-64-v3":
            notes.append(_GENERIC)
        return notes

    def version_in_place(self, folder, foreign):
        """Run a compiled and a Python command of an existing folder; return the version."""
        return try_commands(folder, ["mrinfo", "dwi2response"], foreign)


def commands_in(folder):
    """Return the names of the compiled and of the Python commands in a folder, two sorted lists."""
    names = [name for name in sorted(os.listdir(folder)) if os.access(os.path.join(folder, name), os.X_OK)]
    paths = {name: os.path.join(folder, name) for name in names if os.path.isfile(os.path.join(folder, name))}
    compiled = [name for name, path in paths.items() if is_elf(path)]
    return compiled, [name for name, path in paths.items() if is_script(path) and not name.endswith(".py")]


def try_commands(folder, names, foreign=False):
    """Return the version that the first command reports; raise InstallError if one of them does not run."""
    versions = []
    for name in names:
        told, problem = mrtrix3_version(os.path.join(folder, name), foreign)
        if not told:
            raise InstallError(f"{name} does not run: {problem}.", _smoke_hint(problem), code="does-not-run")
        versions.append(told)
    return versions[0]


def _smoke_hint(problem):
    if "cannot open shared object" in problem:
        return "Install the missing library with the role deps."
    if "GLIBC" in problem:
        return "It was built on a newer system; use a build for this one, or compile from source."
    if "No module named" in problem:
        return "This version of MRtrix3 does not work with the first python3 on PATH."
    return ""
