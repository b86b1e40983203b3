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

import os
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision_checks import (
    RECEIPT,
    broken_links,
    cpu_flags,
    is_elf,
    is_script,
    look_at_machine,
    prefix_problem,
    read_json,
)
from ..module_utils.provision_files import (
    drop_half_written,
    exchange,
    explain,
    locked,
    staging,
    teller,
    unpack,
    write_json,
)
from ..module_utils.provision_portable import PortableError, describe, finish, flags_in_config, gather, gather_tree
from ..module_utils.provision_store import (
    MANIFEST,
    BadArchive,
    StoreError,
    candidates,
    is_release,
    read_archive,
    set_aside,
    why_not_here,
)

_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878, section 3.1.1


class InstallError(Exception):
    """An installation that cannot be used; the message and the hint are for people."""

    def __init__(self, message, hint=""):
        super().__init__(message)
        self.message, self.hint = message, hint


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
    """Gather the files from where they come from into a folder beside the prefix; return the manifest, {} for none."""
    if not given["archive"]:
        try:
            gather_tree(given["tree"], folder)
        except PortableError as error:
            raise InstallError(str(error), "Install it, or build MRtrix3 again.") from error
        return {}
    if given["store"] or _is_zstd(given["archive"]):
        return read_archive(
            given["archive"], keep=folder, accept=check_runs_here, tell=teller(given["progress"], "bytes")
        )
    unpack_build(given["archive"], folder)
    finish(folder)
    return {}


def _is_zstd(path):
    with open(path, "rb") as file:
        return file.read(4) == _ZSTD


def check_runs_here(manifest):
    """Raise InstallError for a build that this machine cannot run."""
    why = why_not_here(manifest, this_machine())
    if why or manifest["tool"] != "mrtrix3":
        raise InstallError(f"This build is not for this machine: {why or 'it is ' + manifest['tool']}.")


def this_machine():
    """Return what is to be known of this machine for choosing a build."""
    return dict(look_at_machine(), flags=sorted(cpu_flags()))


def check_version(version, given):
    """Raise InstallError when the commands tell another version than the one wanted."""
    if given["exact"] and given["version"] not in ("any", version):
        raise InstallError(f"It is MRtrix3 {version}, not {given['version']}.", f"Ask for version {version}, or any.")


def place(given):
    """Install into the prefix and return (version, folder of commands, names of commands, manifest)."""
    prefix = given["prefix"]
    problem = prefix_problem(prefix)
    if problem:
        raise InstallError(f"The prefix {prefix} {problem}.", "Choose another: mrtrix3_prefix.")
    with staging(prefix) as folder:
        new = os.path.join(folder, "new")
        os.mkdir(new)
        manifest = fill(given, new)
        version, commands = smoke_test(os.path.join(new, "bin"))
        check_version(version, given)
        if given["tree"]:
            manifest = note_build(given, new, version, commands)
        write_json(os.path.join(new, RECEIPT), {"tool": "mrtrix3", "version": version, "origin": given["origin"]})
        exchange(new, prefix)
    return version, os.path.join(prefix, "bin"), commands, manifest


def note_build(given, folder, version, commands):
    """Write the manifest of what was built here, which goes where the installation goes, and return it."""
    label = version if given["exact"] else given["version"]
    manifest = describe(
        folder, "mrtrix3", label, given["cpu"], commands, given["commands"], tells=version, repo=given["repo"],
        build_seconds=given["build_seconds"], flags=flags_in_config(given["tree"]), **given["extra"],
    )
    write_json(os.path.join(folder, MANIFEST), manifest)
    return manifest


def install(given):
    """Put MRtrix3 in place and return the state that was noted."""
    start = time.monotonic()
    old = read_json(given["state_file"])
    if given["bin"]:
        folder, commands = given["bin"], []
        version = try_commands(folder, ["mrinfo", "dwi2response"])
        check_version(version, given)
        prefix, manifest = os.path.dirname(folder), {}
    else:
        version, folder, commands, manifest = place(given)
        prefix = given["prefix"]
    report = {
        "version": version, "prefix": prefix, "bin": folder, "origin": given["origin"],
        "cpu": manifest.get("cpu", given["cpu"]), "archive": given["archive"] or "",
        "seconds": round(given["seconds"] + time.monotonic() - start, 1),
    }
    if manifest.get("build_seconds"):
        report["build_seconds"] = manifest["build_seconds"]
    own = not given["bin"]
    state = {
        **given["extra"], "report": report, "version": version if given["exact"] else given["version"],
        "commands": commands if own else [], "complete": manifest.get("complete", not given["commands"]),
        "link_dir": (given["link_dir"] or "") if own else "",
    }
    if old.get("report", {}).get("prefix") != prefix or old.get("link_dir") != state["link_dir"]:
        drop_links(old)
        drop_prefix(old)
    state["left_alone"] = make_links(state["link_dir"], folder, commands) if state["link_dir"] else []
    drop_half_written(given["state_file"])
    write_json(given["state_file"], state)
    return state


def restore(given):
    """Install the best archive of the store that works here; return (the state, empty when none did, passed over)."""
    passed_over = []

    def pass_over(path, error):
        passed_over.append({"archive": path, "why": error.message, "bad": isinstance(error, BadArchive)})

    wanted = {"tool": "mrtrix3", **{name: given[name] for name in ("version", "cpu", "commands", "repo")}}
    state = {}
    try:
        for path, manifest in candidates(given["store"], wanted, this_machine(), passed_over):
            found = {"archive": path, "version": manifest["version"], "exact": is_release(manifest["version"])}
            try:
                state = install({**given, **found})
                break
            except (InstallError, StoreError) as error:
                pass_over(path, error)
    except StoreError as error:
        pass_over(given["store"], error)
    for note in passed_over:
        # What is not named as a build of MRtrix3 is somebody else's file, and keeps its name.
        if note.pop("bad", False) and os.path.basename(note["archive"]).startswith("mrtrix3-"):
            note["why"] += f"; it is now {set_aside(note['archive'])}"
    return state, passed_over


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


def act(given):
    """Do what is asked; return (what was or is noted of it, the archives passed over)."""
    if given["state"] == "absent":
        return remove(given), []
    if given["store"]:
        return restore(given)
    return install(given), []


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
            "store": {"type": "path"},
            "repo": {"type": "str", "default": ""},
            "progress": {"type": "path"},
            "bin": {"type": "path"},
            "prefix": {"type": "path"},
            "link_dir": {"type": "path"},
            "commands": {"type": "list", "elements": "str", "default": []},
            "cpu": {"type": "str", "default": ""},
            "extra": {"type": "dict", "default": {}},
            "seconds": {"type": "float", "default": 0},
            "build_seconds": {"type": "float", "default": 0},
        },
        required_if=[("state", "present", ["origin"])],
        mutually_exclusive=[("tree", "archive", "bin", "store")],
    )
    given = module.params
    try:
        with locked(given["state_file"] + ".lock", seconds=60):
            state, passed_over = act(given)
    except BlockingIOError:
        module.fail_json(msg="Another run has been installing MRtrix3 for a minute.", hint="Wait for it to end.")
    except BadArchive as error:
        module.fail_json(
            msg=f"The archive {given['archive']} cannot be used: {error.message}.", hint="Make or download it again."
        )
    except (InstallError, StoreError) as error:
        module.fail_json(msg=error.message, hint=error.hint)
    except OSError as error:
        message, hint = explain(error)
        module.fail_json(msg=message, hint=hint)
    module.exit_json(
        changed=bool(state), report=state.get("report", {}), left_alone=state.get("left_alone", []),
        passed_over=passed_over,
    )


if __name__ == "__main__":
    main()
