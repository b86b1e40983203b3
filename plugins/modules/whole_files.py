#!/usr/bin/python
"""Have folders, keys and files in one step, each whole or not there."""

from __future__ import annotations

DOCUMENTATION = """
module: whole_files
short_description: Have folders, keys and files in one step
description:
  - Removes what shall not be there, then makes folders, keys of SSH and files, in the order given. Each file is written
    under a temporary name and renamed, so that whoever reads it finds the old one or the new one.
  - Each task of Ansible costs some 0.2 seconds, and twice that for a copy or a template. This is one task for all.
author: The provision founders (!UNKNOWN)
options:
  absent:
    type: list
    elements: path
    default: []
    description: Files, links and whole folders to remove.
  folders:
    type: list
    elements: dict
    default: []
    description: The folders. What is missing above one is made as well.
    suboptions:
      path:
        type: path
        required: true
        description: The folder.
      mode:
        type: str
        default: "0755"
        description: Its permissions.
  keys:
    type: list
    elements: dict
    default: []
    description: Pairs of ed25519 keys without a passphrase. A key that is there stays.
    suboptions:
      path:
        type: path
        required: true
        description: The private key; the public one is beside it and ends in C(.pub).
      comment:
        type: str
        required: true
        description: What follows the public key.
  files:
    type: list
    elements: dict
    default: []
    description: The files.
    suboptions:
      path:
        type: path
        required: true
        description: The file.
      content:
        type: str
        required: true
        description: All that is in it.
      mode:
        type: str
        default: "0644"
        description: Its permissions.
      validate:
        type: list
        elements: str
        default: []
        description: A command that must accept the file before it is put in place, with V(%s) for its name.
"""

EXAMPLES = """
- name: Configure a server
  provision_founders.provision.whole_files:
    folders: [{path: /var/lib/server, mode: "0700"}]
    keys: [{path: /var/lib/server/host_key, comment: server}]
    files: [{path: /var/lib/server/config, content: "Port 2222", validate: [sshd, -t, -f, "%s"]}]
"""

RETURN = """
paths:
  description: What was made, changed or removed.
  returned: always
  type: list
  elements: str
"""

import os
import shutil
import stat
import tempfile
from contextlib import suppress

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.failures import Problem, failure
from ..module_utils.provision.files import drop_half_written, make_folder, write_text
from ..module_utils.provision.reading import read_text


def mode_of(path):
    """Return the permissions of what is there, -1 where nothing is."""
    try:
        return stat.S_IMODE(os.lstat(path).st_mode)
    except FileNotFoundError:
        return -1


def have_not(module, path):
    """Remove a file, a link or a whole folder; return whether it was there."""
    due = os.path.lexists(path)
    if due and not module.check_mode:
        with suppress(FileNotFoundError):  # somebody else has just removed it
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    return due


def have_folder(module, path, mode):
    """Make a folder, or give it its mode; return whether there was anything to do."""
    wanted = int(mode, 8)
    due = not os.path.isdir(path) or stat.S_IMODE(os.stat(path).st_mode) != wanted
    if due and not module.check_mode:
        make_folder(path, wanted)
        os.chmod(path, wanted)
    return due


def have_key(module, path, comment):
    """Make a pair of keys where there is none; return whether there was anything to do."""
    due = not os.path.lexists(path)
    if due and not module.check_mode:
        new = path + ".new"
        for left in (new, new + ".pub"):  # by a run that was killed
            with suppress(FileNotFoundError):
                os.unlink(left)
        code, said = run(module, ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", new])
        if code:
            raise Problem(f"ssh-keygen could not make {path}: {said}.", code="command-failed")
        os.replace(new + ".pub", path + ".pub")
        os.replace(new, path)
    return due


def have_file(module, path, content, mode, validate):
    """Write a file, or give it its mode; return whether there was anything to do."""
    wanted = int(mode, 8)
    due = mode_of(path) != wanted or os.path.islink(path) or read_text(path) != content
    if due and not module.check_mode:
        if validate:
            check(module, path, content, validate)
        drop_half_written(path)  # of a run that was killed
        write_text(path, content, wanted)
    return due


def check(module, path, content, command):
    """Have a command look at what a file would be; nobody else can read it meanwhile."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        code, said = run(module, [word.replace("%s", file.name) for word in command])
    if code:
        hint = "Nothing was put in place; its version may be one that this role does not know."
        raise Problem(f"{command[0]} does not accept the new {path}: {said}.", hint, code="bad-configuration")


def run(module, argv):
    """Run a command; return its exit code and the first line that it prints to standard error."""
    code, _out, error = module.run_command(argv)
    return code, (error.strip() or f"exit code {code}").splitlines()[0]


def main():
    """Run as an Ansible module."""
    path, text = {"type": "path", "required": True}, {"type": "str", "required": True}
    options = {
        "folders": {"path": path, "mode": {"type": "str", "default": "0755"}},
        "keys": {"path": path, "comment": text},
        "files": {
            "path": path,
            "content": text,
            "mode": {"type": "str", "default": "0644"},
            "validate": {"type": "list", "elements": "str", "default": []},
        },
    }
    module = AnsibleModule(
        argument_spec={
            "absent": {"type": "list", "elements": "path", "default": []},
            **{
                # Places of keys are no secrets; a task with secret contents has no_log itself.
                name: {"type": "list", "elements": "dict", "default": [], "options": fields, "no_log": False}
                for name, fields in options.items()
            },
        },
        supports_check_mode=True,
    )
    makers = {"folders": have_folder, "keys": have_key, "files": have_file}
    try:
        paths = [path for path in module.params["absent"] if have_not(module, path)]
        for name, make in makers.items():
            paths += [item["path"] for item in module.params[name] if make(module, **item)]
    except (Problem, OSError) as error:
        module.fail_json(**failure(error))
    module.exit_json(changed=bool(paths), paths=paths)


if __name__ == "__main__":
    main()
