#!/usr/bin/python
"""Put an MRtrix3 in its place once it has shown that it runs, or take it away again."""

from __future__ import annotations

DOCUMENTATION = """
module: mrtrix3_install
short_description: Put an MRtrix3 in its place once it has shown that it runs
description:
  - Gathers what runs from a built source tree, an archive, or the best archive of a store in a folder beside the
    prefix, tests a C++ and a Python command there, and renames the folder into place. With none of them, tests the
    commands in C(bin) where they are.
  - When no archive of the store can be used, nothing is changed and C(report) is empty; C(passed_over) says why. Those
    that are broken get a name that ends in C(.bad).
  - Notes what it put on the machine in a state file, from which C(state=absent) removes it again.
author: The provision founders (!UNKNOWN)
options:
  state:
    type: str
    choices: [present, absent]
    default: present
    description: Whether MRtrix3 shall be there.
  state_file:
    type: path
    required: true
    description: Where to note what was put on the machine.
  origin:
    type: str
    description: Where it came from.
  version:
    type: str
    default: any
    description: The version wanted, C(any) for whatever it is, or a git reference, which is not compared.
  exact:
    type: bool
    default: true
    description: Whether the version it tells must be the one wanted.
  move:
    type: bool
    default: false
    description:
      - Whether what the state file notes shall be put into C(prefix) and linked in C(link_dir) as it is, without
        another build.
  tree:
    type: path
    description: A built source tree.
  archive:
    type: path
    description: An archive of a build, packed by this collection or any tar archive of a folder with C(bin).
  store:
    type: path
    description: A folder of archives to choose from.
  repo:
    type: str
    default: ""
    description: Where a version that is no release must have been cloned from.
  progress:
    type: path
    description: A file that is told how far the unpacking is, as one JSON object.
  bin:
    type: path
    description: The folder of commands that are already where they belong.
  prefix:
    type: path
    description: The folder to install into.
  link_dir:
    type: path
    description: A folder on PATH that gets a link to each command; none when empty.
  commands:
    type: list
    elements: str
    default: []
    description: The commands that were asked for; none means all.
  cpu:
    type: str
    default: ""
    description: The processor it was compiled for; from a store, the one it must be for, empty for any that runs.
  extra:
    type: dict
    default: {}
    description: What else to note in the state file.
  seconds:
    type: float
    default: 0
    description: How long all of it has taken before.
  build_seconds:
    type: float
    default: 0
    description: How long compiling the tree has taken.
"""

EXAMPLES = """
- name: Install the best build of a store
  provision_founders.provision.mrtrix3_install:
    origin: store
    store: /srv/builds
    version: 3.0.8
    prefix: /opt/mrtrix3
    link_dir: /usr/local/bin
    state_file: /var/lib/provision/mrtrix3.json
  register: done

- name: Take it away again
  provision_founders.provision.mrtrix3_install:
    state: absent
    prefix: /opt/mrtrix3
    link_dir: /usr/local/bin
    state_file: /var/lib/provision/mrtrix3.json
"""

RETURN = """
report:
  description:
    - What is in place now, as the role reports it; V({}) when nothing is.
    - Without C(notes), which the role adds.
  type: dict
  returned: success
left_alone:
  description: Commands in the folder on PATH that are somebody else's, and got no link.
  type: list
  elements: str
  returned: success
passed_over:
  description: The archives of the store that could not be used, best first.
  type: list
  elements: dict
  returned: success
  contains:
    archive:
      description: Its path, or that of the store when that cannot be read.
      type: str
    why:
      description: Why it was not taken.
      type: str
"""

import os
import re
import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.commands import command_environment, run
from ..module_utils.provision.reading import is_elf, is_script
from ..module_utils.provision.store.portable import finish, flags_in_config, gather, gather_tree
from ..module_utils.provision.tool.install import ARGUMENTS, InstallError, Tool, unpacked_build


class MRtrix3(Tool):
    """MRtrix3, from any of its origins."""

    name, title = "mrtrix3", "MRtrix3"

    def gather(self, given, folder):
        """Copy what runs, and what building modules needs, from a built tree."""
        gather_tree(given["tree"], folder)

    def unpack(self, given, folder):
        """Unpack any tar archive of a build and bring its ``bin``, ``lib`` and ``share`` to the top of a folder."""
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
        """Tell whether the version is a release."""
        return given["exact"]

    def about(self, given, folder):
        """Return the compiler's flags."""
        return {"flags": flags_in_config(given["tree"])}

    def report(self, given, manifest):
        """Return the processor it was compiled for, and its archive."""
        return {"cpu": manifest.get("cpu", given["cpu"]), "archive": given["archive"] or ""}

    def install(self, given):
        """Put MRtrix3 in place, or test the one that is there, and return the state that was noted."""
        if not given["bin"]:
            return super().install(given)
        start = time.monotonic()
        told = try_commands(given["bin"], ["mrinfo", "dwi2response"], foreign=given["origin"] == "present")
        self.check_version(told, given)
        place = {"prefix": os.path.dirname(given["bin"]), "bin": given["bin"]}
        report = self.whole_report(given, told, place, {}, start)
        return self.note(given, self.state_of(given, report, [], "", {}))


def commands_in(folder):
    """Return the names of the compiled and of the Python commands in a folder, two sorted lists."""
    names = [name for name in sorted(os.listdir(folder)) if os.access(os.path.join(folder, name), os.X_OK)]
    paths = {name: os.path.join(folder, name) for name in names if os.path.isfile(os.path.join(folder, name))}
    compiled = [name for name, path in paths.items() if is_elf(path)]
    return compiled, [name for name, path in paths.items() if is_script(path) and not name.endswith(".py")]


def tell_version(path, foreign=False):
    """Run a command with ``-version`` and return (version or empty, what it said when it failed)."""
    code, out, error = run([path, "-version"], command_environment(os.path.dirname(path), foreign), seconds=120)
    found = re.search(r"== \S+ (\S+) ==", out)
    said = (error or out).strip().splitlines()
    if code or "Traceback" in error or not found:
        return "", said[-1] if said else f"it ended with code {code}"
    return found.group(1), ""


def try_commands(folder, names, foreign=False):
    """Return the version that the first command tells; raise InstallError when one of them does not run."""
    versions = []
    for name in names:
        told, problem = tell_version(os.path.join(folder, name), foreign)
        if not told:
            raise InstallError(f"{name} does not run: {problem}.", _smoke_hint(problem), code="does-not-run")
        versions.append(told)
    return versions[0]


def _smoke_hint(problem):
    if "cannot open shared object" in problem:
        return "A library that it needs is missing: the role deps installs it."
    if "GLIBC" in problem:
        return "It was built on a newer system than this one."
    if "No module named" in problem:
        return "This version of MRtrix3 does not work with the python3 that is first on PATH."
    return ""


def main():
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "exact": {"type": "bool", "default": True},
            "archive": {"type": "path"},
            "bin": {"type": "path"},
            "commands": {"type": "list", "elements": "str", "default": []},
        },
        required_if=[("state", "present", ["origin", "move"], True)],
        mutually_exclusive=[("tree", "archive", "bin", "store")],
    )
    MRtrix3().run(module)


if __name__ == "__main__":
    main()
