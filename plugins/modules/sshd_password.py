#!/usr/bin/python
"""Set a random password for a user, and restore the old one later."""

from __future__ import annotations

DOCUMENTATION = """
module: sshd_password
short_description: Set a random password for a user, and restore the old one later
description:
  - Sets a password of 192 random bits, which is saved in the file C(password) in the folder and does not change after
    that. The user's entry in C(/etc/shadow) is saved too, and restored with C(state=absent), unless the password has
    been changed since.
  - Only root can read the two files. The password never appears in a command, environment, log or result.
author: The provision founders (!UNKNOWN)
options:
  state:
    type: str
    choices: [present, absent]
    default: present
    description: Whether the user has the random password.
  user:
    type: str
    description: The user.
  folder:
    type: path
    required: true
    description: The folder for the password, and for what is needed to restore the old one.
"""

EXAMPLES = """
- name: Set a password for a guest
  provision_founders.provision.sshd_password:
    user: guest
    folder: /var/lib/provision/sshd

- name: Restore the old one
  provision_founders.provision.sshd_password:
    state: absent
    folder: /var/lib/provision/sshd
"""

RETURN = """
# Only `changed`: the password is in its file only.
"""

import os
import secrets

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.failures import explain
from ..module_utils.provision.files import drop_file, write_json, write_text
from ..module_utils.provision.look.login import password_state, shadow_entry
from ..module_utils.provision.reading import read_json, read_text


def call(module, argv, data=None):
    """Run a command with some standard input, and fail if it fails."""
    code, _out, error = module.run_command(argv, data=data)
    if code:
        said = error.strip().splitlines()
        module.fail_json(
            msg=f"{argv[0]} failed: {said[0] if said else f'exit code {code}'}.",
            hint="Check whether passwd works for that user, or give a public key: sshd_authorized_keys.",
            code="password-not-set",
        )


def give(module, user, folder):
    """Set the random password, after saving the old entry."""
    path, notes = os.path.join(folder, "password"), os.path.join(folder, "password.json")
    password = read_text(path).strip()
    if not password:
        password = secrets.token_urlsafe(24)
        write_text(path, password + "\n", mode=0o600, alone=True)
    # A killed run has already saved the old entry, which must not be lost.
    noted = read_json(notes) or {"user": user, "before": shadow_entry(user)}
    write_json(notes, noted, mode=0o600)
    call(module, ["chpasswd"], f"{user}:{password}")
    write_json(notes, {**noted, "after": shadow_entry(user)["hash"]}, mode=0o600)


def take_back(module, folder):
    """Restore the old entry, unless the password has been changed since, and delete ours."""
    path, notes = os.path.join(folder, "password"), os.path.join(folder, "password.json")
    noted = read_json(notes)
    now = shadow_entry(noted["user"]) if noted else {}
    # Without "after", the run was killed while it set the password.
    if now and noted.get("after") in (None, now["hash"]):
        call(module, ["chpasswd", "--encrypted"], f"{noted['user']}:{noted['before']['hash']}")
        call(module, ["chage", "--lastday", noted["before"]["changed"] or "-1", noted["user"]])
    drop_file(path)
    drop_file(notes)


def main():
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "user": {"type": "str"},
            "folder": {"type": "path", "required": True},
        },
        required_if=[("state", "present", ["user"])],
        supports_check_mode=True,
    )
    user, folder = module.params["user"], module.params["folder"]
    there = password_state(folder)
    wanted = {"user": user, "set": True} if module.params["state"] == "present" else {}
    changed = there != wanted
    try:
        if changed and not module.check_mode:
            if there and (not wanted or there["user"] != user):
                take_back(module, folder)
            if wanted:
                give(module, user, folder)
    except OSError as error:
        msg, hint = explain(error)
        module.fail_json(msg=msg, hint=hint, code="password-not-set")
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
