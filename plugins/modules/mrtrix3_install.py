#!/usr/bin/python
"""Put an MRtrix3 in its place once it has shown that it runs, or take it away again."""

from __future__ import annotations

DOCUMENTATION = """
module: mrtrix3_install
short_description: Put an MRtrix3 in its place once it has shown that it runs
description:
  - Gathers what runs from a built source tree or an unpacked archive in a folder beside the prefix, tests a C++ and a
    Python command there, and renames the folder into place. With neither, tests the commands in C(bin) where they are.
  - Notes what it put on the machine in a state file, from which C(state=absent) removes it again.
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
  tree:
    type: path
    description: A built source tree.
  archive:
    type: path
    description: A tar archive of a build.
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
    description: The processor it was compiled for.
  extra:
    type: dict
    default: {}
    description: What else to note in the state file.
  seconds:
    type: float
    default: 0
    description: How long all of it has taken before.
"""

import glob
import os
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision_checks import RECEIPT, broken_links, is_elf, is_script, prefix_problem, read_json
from ..module_utils.provision_files import exchange, explain, locked, staging, unpack, write_json


class InstallError(Exception):
    """An installation that cannot be used; the message and the hint are for people."""

    def __init__(self, message, hint=""):
        super().__init__(message)
        self.message, self.hint = message, hint


def use_python3(path):
    """Make a script that asks for ``python`` ask for ``python3``: Debian and Ubuntu have no ``python``."""
    with open(path, "rb") as file:
        first, rest = file.readline(), file.read()
    if re.fullmatch(rb"#!\s*/usr/bin/env python\s*", first):
        with open(path, "wb") as file:
            file.write(b"#!/usr/bin/env python3\n" + rest)


def strip(paths):
    """Take the symbols out of programs and libraries, where binutils is there to do it."""
    if paths and shutil.which("strip"):
        subprocess.run(["strip", "--strip-unneeded", *paths], check=True, capture_output=True)


def gather(trees, folder):
    """Copy what runs into a folder: ``bin``, ``lib`` and ``share`` of the first tree that has each, and the licence."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc", "purged_files", ".*", "*.a", "*.o", "cmake_install.cmake")
    for top in ("bin", "lib", "share"):
        source = next((tree for tree in trees if os.path.isdir(os.path.join(tree, top))), None)
        if source:
            shutil.copytree(os.path.join(source, top), os.path.join(folder, top), symlinks=True, ignore=ignore)
    for name in ("LICENCE.txt", "LICENSE"):
        for tree in trees:
            if os.path.exists(os.path.join(tree, name)):
                shutil.copy2(os.path.join(tree, name), folder)


def gather_libraries(build, folder):
    """Copy the shared libraries that CMake left beside their objects to ``lib``, where the programs look for them."""
    for path in glob.glob(os.path.join(build, "**", "lib*.so*"), recursive=True):
        target = os.path.join(folder, "lib", os.path.basename(path))
        if not os.path.lexists(target):
            shutil.copy2(path, target, follow_symlinks=False)


def finish(folder):
    """Make gathered files fit to run: permissions, symbols, and the name of Python."""
    elves = []
    for top in ("bin", "lib"):
        for parent, _, names in os.walk(os.path.join(folder, top)):
            for name in names:
                path = os.path.join(parent, name)
                if os.path.islink(path):
                    continue
                if is_elf(path):
                    elves.append(path)
                elif top == "bin" and is_script(path):
                    use_python3(path)
    strip(elves)


def unpack_build(archive, folder):
    """Unpack an archive and bring its ``bin``, ``lib`` and ``share`` to the top of a folder."""
    with tempfile.TemporaryDirectory(dir=folder) as inner:
        try:
            unpack(archive, inner)
        except ValueError as error:
            raise InstallError(str(error) + ".", "Make or download it again.") from error
        entries = os.listdir(inner)
        top = inner if "bin" in entries or len(entries) != 1 else os.path.join(inner, entries[0])
        if not os.path.isdir(os.path.join(top, "bin")):
            raise InstallError(f"{archive} has no folder bin.", "It must hold bin, lib and share of a build.")
        gather([top], folder)


def commands_in(folder):
    """Return the names of the compiled and of the Python commands in a folder, two sorted lists."""
    names = [name for name in sorted(os.listdir(folder)) if os.access(os.path.join(folder, name), os.X_OK)]
    paths = {name: os.path.join(folder, name) for name in names if os.path.isfile(os.path.join(folder, name))}
    compiled = [name for name, path in paths.items() if is_elf(path)]
    return compiled, [name for name, path in paths.items() if is_script(path) and not name.endswith(".py")]


def tell_version(path):
    """Run a command with ``-version`` and return (version or empty, what it said when it failed).

    It runs with the PATH that people will have, its own folder first, so that a Python command meets the ``python3``
    it will meet later.
    """
    environment = dict(os.environ, PATH=os.path.dirname(path) + os.pathsep + os.environ.get("PATH", os.defpath))
    try:
        done = subprocess.run(
            [path, "-version"], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
            env=environment, timeout=120, check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    found = re.search(r"== \S+ (\S+) ==", done.stdout)
    said = (done.stderr or done.stdout).strip().splitlines()
    if done.returncode or "Traceback" in done.stderr or not found:
        return "", said[-1] if said else f"it ended with code {done.returncode}"
    return found.group(1), ""


def smoke_test(folder):
    """Run a compiled and a Python command of a folder of our own making; return (version, all its commands).

    Raises InstallError if either fails.
    """
    compiled, scripts = commands_in(folder)
    if not compiled:
        raise InstallError(f"There is no MRtrix3 command in {folder}.")
    chosen = [
        first if first in names else names[0]
        for names, first in ((compiled, "mrinfo"), (scripts, "dwi2response")) if names
    ]
    return try_commands(folder, chosen), compiled + scripts


def try_commands(folder, names):
    """Return the version that the first command tells; raise InstallError when one of them does not run."""
    versions = []
    for name in names:
        told, problem = tell_version(os.path.join(folder, name))
        if not told:
            raise InstallError(f"{name} does not run: {problem}.", _smoke_hint(problem))
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


def make_links(link_dir, folder, commands):
    """Link each command into a folder on PATH; return the names left alone because they are somebody else's."""
    os.makedirs(link_dir, exist_ok=True)
    for name in broken_links(link_dir, commands, folder):
        link = os.path.join(link_dir, name)
        if os.path.islink(link):
            os.unlink(link)
        os.symlink(os.path.join(folder, name), link)
    return [name for name in commands if not _is_our_link(os.path.join(link_dir, name), folder)]


def _is_our_link(link, folder):
    return os.path.islink(link) and os.readlink(link) == os.path.join(folder, os.path.basename(link))


def drop_links(state):
    """Remove the links that an installation made and that still point into it."""
    link_dir, folder = state.get("link_dir"), state.get("report", {}).get("bin", "")
    for name in state.get("commands", []) if link_dir else []:
        link = os.path.join(link_dir, name)
        if _is_our_link(link, folder):
            os.unlink(link)


def drop_prefix(state):
    """Remove a prefix that carries our receipt."""
    prefix = state.get("report", {}).get("prefix", "")
    if os.path.exists(os.path.join(prefix or "/nonexistent", RECEIPT)):
        shutil.rmtree(prefix)


def fill(given, folder):
    """Gather the files from where they come from into a folder beside the prefix."""
    if given["archive"]:
        unpack_build(given["archive"], folder)
    else:
        build = os.path.join(given["tree"], "build")  # of CMake; the older build system has a script of that name
        gather([build, given["tree"]], folder)
        gather_libraries(build, folder)
    finish(folder)


def check_version(version, given):
    """Raise InstallError when the commands tell another version than the one wanted."""
    if given["exact"] and given["version"] not in ("any", version):
        raise InstallError(f"It is MRtrix3 {version}, not {given['version']}.", f"Ask for version {version}, or any.")


def place(given):
    """Install into the prefix and return (version, folder of commands, names of commands)."""
    prefix = given["prefix"]
    problem = prefix_problem(prefix)
    if problem:
        raise InstallError(f"The prefix {prefix} {problem}.", "Choose another: mrtrix3_prefix.")
    with staging(prefix) as folder:
        new = os.path.join(folder, "new")
        os.mkdir(new)
        fill(given, new)
        version, commands = smoke_test(os.path.join(new, "bin"))
        check_version(version, given)
        write_json(os.path.join(new, RECEIPT), {"tool": "mrtrix3", "version": version, "origin": given["origin"]})
        exchange(new, prefix)
    return version, os.path.join(prefix, "bin"), commands


def install(given):
    """Put MRtrix3 in place and return the state that was noted."""
    start = time.monotonic()
    old = read_json(given["state_file"])
    if given["bin"]:
        folder, commands = given["bin"], []
        version = try_commands(folder, ["mrinfo", "dwi2response"])
        check_version(version, given)
        prefix = os.path.dirname(folder)
    else:
        version, folder, commands = place(given)
        prefix = given["prefix"]
    report = {
        "version": version, "prefix": prefix, "bin": folder, "origin": given["origin"], "cpu": given["cpu"],
        "archive": given["archive"] or "", "seconds": round(given["seconds"] + time.monotonic() - start, 1),
    }
    own = not given["bin"]
    state = {
        **given["extra"], "report": report, "version": given["version"] if not given["exact"] else version,
        "commands": commands if own else [], "complete": not given["commands"],
        "link_dir": (given["link_dir"] or "") if own else "",
    }
    if old.get("report", {}).get("prefix") != prefix or old.get("link_dir") != state["link_dir"]:
        drop_links(old)
        drop_prefix(old)
    state["left_alone"] = make_links(state["link_dir"], folder, commands) if state["link_dir"] else []
    write_json(given["state_file"], state)
    return state


def remove(given):
    """Take away what the state file notes, or what a prefix that carries our receipt tells without one; return it."""
    prefix = given["prefix"] or ""
    state = read_json(given["state_file"])
    if not state and os.path.exists(os.path.join(prefix, RECEIPT)):
        folder = os.path.join(prefix, "bin")
        state = {
            "report": {"prefix": prefix, "bin": folder}, "link_dir": given["link_dir"], "commands": os.listdir(folder)
        }
    drop_links(state)
    drop_prefix(state)
    for path in (given["state_file"], given["state_file"] + ".lock"):
        with suppress(FileNotFoundError):
            os.unlink(path)
    return state


def main():
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "state_file": {"type": "path", "required": True},
            "origin": {"type": "str"},
            "version": {"type": "str", "default": "any"},
            "exact": {"type": "bool", "default": True},
            "tree": {"type": "path"},
            "archive": {"type": "path"},
            "bin": {"type": "path"},
            "prefix": {"type": "path"},
            "link_dir": {"type": "path"},
            "commands": {"type": "list", "elements": "str", "default": []},
            "cpu": {"type": "str", "default": ""},
            "extra": {"type": "dict", "default": {}},
            "seconds": {"type": "float", "default": 0},
        },
        required_if=[("state", "present", ["origin"])],
        mutually_exclusive=[("tree", "archive", "bin")],
    )
    given = module.params
    try:
        with locked(given["state_file"] + ".lock", seconds=60):
            state = install(given) if given["state"] == "present" else remove(given)
    except BlockingIOError:
        module.fail_json(msg="Another run has been installing MRtrix3 for a minute.", hint="Wait for it to end.")
    except InstallError as error:
        module.fail_json(msg=error.message, hint=error.hint)
    except OSError as error:
        message, hint = explain(error)
        module.fail_json(msg=message, hint=hint)
    module.exit_json(changed=bool(state), report=state.get("report", {}), left_alone=state.get("left_alone", []))


if __name__ == "__main__":
    main()
