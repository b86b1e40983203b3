#!/usr/bin/python
"""Create, change and remove folders, keys and files in one task, each whole or not at all."""

from __future__ import annotations

DOCUMENTATION = """
module: whole_files
short_description: Create, change and remove folders, keys and files in one task
description:
  - Removes paths, then creates folders, SSH keys and files, in the order given. Each file is written under a temporary
    name and renamed, so that a reader finds the old file or the new one.
  - Each Ansible task takes about 0.2 seconds, and a copy or a template twice that. This is one task for all.
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
    description: The folders to create, with missing parents.
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
    description: The ed25519 key pairs to create, without a passphrase. An existing key stays.
    suboptions:
      path:
        type: path
        required: true
        description: The private key; the public key is beside it and ends in C(.pub).
      comment:
        type: str
        required: true
        description: The comment of the public key.
  files:
    type: list
    elements: dict
    default: []
    description: The files to write.
    suboptions:
      path:
        type: path
        required: true
        description: The file.
      content:
        type: str
        required: true
        description: The whole content.
      mode:
        type: str
        default: "0644"
        description: Its permissions.
      validate:
        type: list
        elements: str
        default: []
        description: A command that must accept the file before it is put in place; V(%s) is its name.
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
  description: The paths that were created, changed or removed.
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
from ..module_utils.provision.files import make_folder, write_text
from ..module_utils.provision.reading import read_text


def mode_of(path):
    """Return the permissions of a path, -1 if it does not exist."""
    try:
        return stat.S_IMODE(os.lstat(path).st_mode)
    except FileNotFoundError:
        return -1


def have_not(module, path):
    """Remove a file, a link or a whole folder; return whether it existed."""
    due = os.path.lexists(path)
    if due and not module.check_mode:
        with suppress(FileNotFoundError):  # another run has just removed it
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    return due


def have_folder(module, path, mode):
    """Create a folder, or set its mode; return whether there was anything to do."""
    wanted = int(mode, 8)
    due = not os.path.isdir(path) or stat.S_IMODE(os.stat(path).st_mode) != wanted
    if due and not module.check_mode:
        make_folder(path, wanted)
        os.chmod(path, wanted)
    return due


def have_key(module, path, comment):
    """Create a key pair unless there is one; return whether there was anything to do."""
    due = not os.path.lexists(path)
    if due and not module.check_mode:
        new = path + ".new"
        for left in (new, new + ".pub"):  # by a killed run
            with suppress(FileNotFoundError):
                os.unlink(left)
        code, said = run(module, ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", new])
        if code:
            raise Problem(f"ssh-keygen could not make {path}: {said}.", code="command-failed")
        os.replace(new + ".pub", path + ".pub")
        os.replace(new, path)
    return due


def have_file(module, path, content, mode, validate):
    """Write a file, or set its mode; return whether there was anything to do."""
    wanted = int(mode, 8)
    due = mode_of(path) != wanted or os.path.islink(path) or read_text(path) != content
    if due and not module.check_mode:
        if validate:
            check(module, path, content, validate)
        write_text(path, content, wanted, alone=True)
    return due


def check(module, path, content, command):
    """Let a command check the new content, in a file that only this user can read."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        code, said = run(module, [word.replace("%s", file.name) for word in command])
    if code:
        hint = "The file was not changed. This role may not support the installed version."
        raise Problem(f"{command[0]} does not accept the new {path}: {said}.", hint, code="bad-configuration")


def run(module, argv):
    """Run a command; return its exit code and the first line of its standard error."""
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
                # Paths of keys are not secret; a task with secret contents sets no_log itself.
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
