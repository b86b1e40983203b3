#!/usr/bin/python
"""Give a user a random password for the time that they are to log in with one, and their old one back."""

from __future__ import annotations

DOCUMENTATION = """
module: sshd_password
short_description: Give a user a random password, and their old one back
description:
  - Sets a password of 192 random bits, which is kept in the file C(password) of the folder and stays the same from then
    on. What was in the user's entry of C(/etc/shadow) is kept beside it, and comes back with C(state=absent), unless
    somebody has set another password by then.
  - Only root can read either file. The password is no part of any command, environment, log or result.
author: The provision founders (!UNKNOWN)
options:
  state:
    type: str
    choices: [present, absent]
    default: present
    description: Whether the user shall have the random password.
  user:
    type: str
    description: The user.
  folder:
    type: path
    required: true
    description: Where the password, and what is needed to take it back, are kept.
"""

EXAMPLES = """
- name: Let somebody in with a password
  provision_founders.provision.sshd_password:
    user: guest
    folder: /var/lib/provision/sshd

- name: Give them their old one back
  provision_founders.provision.sshd_password:
    state: absent
    folder: /var/lib/provision/sshd
"""

RETURN = """
# Nothing but whether it has changed anything: the password is in its file alone.
"""

import os
import secrets

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.failures import explain
from ..module_utils.provision.files import drop_half_written, write_json, write_text
from ..module_utils.provision.look.login import password_state, shadow_entry
from ..module_utils.provision.reading import read_json, read_text


def call(module, argv, data=None):
    """Run a command that must succeed, with a line on its standard input."""
    code, _out, error = module.run_command(argv, data=data)
    if code:
        said = error.strip().splitlines()
        module.fail_json(
            msg=f"{argv[0]} failed: {said[0] if said else f'exit code {code}'}.",
            hint="See whether passwd works for that user here, or give a public key: sshd_authorized_keys.",
            code="password-not-set",
        )


def give(module, user, folder):
    """Set the random password, after noting what was there."""
    path, notes = os.path.join(folder, "password"), os.path.join(folder, "password.json")
    drop_half_written(path)  # of a run that was killed
    password = read_text(path).strip()
    if not password:
        password = secrets.token_urlsafe(24)
        write_text(path, password + "\n", mode=0o600)
    # A run that was killed has noted what was there before: that must not be lost.
    noted = read_json(notes) or {"user": user, "before": shadow_entry(user)}
    write_json(notes, noted, mode=0o600)
    call(module, ["chpasswd"], f"{user}:{password}")
    write_json(notes, {**noted, "after": shadow_entry(user)["hash"]}, mode=0o600)


def take_back(module, folder):
    """Put back what was there, unless somebody has set another password since, and forget ours."""
    path, notes = os.path.join(folder, "password"), os.path.join(folder, "password.json")
    noted = read_json(notes)
    now = shadow_entry(noted["user"]) if noted else {}
    # Without "after" the run was killed while it set the password.
    if now and noted.get("after") in (None, now["hash"]):
        call(module, ["chpasswd", "--encrypted"], f"{noted['user']}:{noted['before']['hash']}")
        call(module, ["chage", "--lastday", noted["before"]["changed"] or "-1", noted["user"]])
    for left in (path, notes):
        drop_half_written(left)
        if os.path.lexists(left):
            os.unlink(left)


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
