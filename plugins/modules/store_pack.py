#!/usr/bin/python
"""Save an installation in the store of builds."""

from __future__ import annotations

DOCUMENTATION = """
module: store_pack
short_description: Save an installation in the store of builds
description:
  - Packs a prefix with its manifest into one archive, reads it back to check it, and then gives it its name.
  - If the store is full, read-only or unmounted, the module does not fail, because the installation still works. It
    returns a note and a warning instead.
author: The provision founders (!UNKNOWN)
options:
  prefix:
    type: path
    required: true
    description: The installation, with its C(manifest.json).
  store:
    type: path
    required: true
    description: The folder of archives, created if it does not exist.
  unfinished:
    type: path
    description: The folder with the saved files of the unfinished build, deleted once the build is packed.
  state_file:
    type: path
    description: The role's state file, which then names the archive, or that there is none.
  progress:
    type: path
    description: A file that receives the progress of the packing, as one JSON object.
"""

EXAMPLES = """
- name: Save a build
  provision_founders.provision.store_pack:
    prefix: /opt/mrtrix3
    store: /srv/builds
    state_file: /var/lib/provision/mrtrix3.json
"""

RETURN = """
kept:
  description: Additions to the role's report.
  type: dict
  returned: success
  contains:
    archive:
      description: The path of the archive.
      type: str
      returned: when it was saved
    notes:
      description: Why the build was not saved, or that it reaches Google Drive later.
      type: list
      elements: str
      returned: when there is something to say
size:
  description: The size of the archive in bytes.
  type: int
  returned: when it was saved
sha256:
  description: The SHA-256 of the archive.
  type: str
  returned: when it was saved
seconds:
  description: How long it took.
  type: float
  returned: when it was saved
"""

import os
import shutil
import time
from contextlib import suppress

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.drive import on_drive, unmounted_problem
from ..module_utils.provision.files import write_json
from ..module_utils.provision.progress import teller
from ..module_utils.provision.reading import read_json
from ..module_utils.provision.store.errors import StoreError
from ..module_utils.provision.store.folder import store_problem
from ..module_utils.provision.store.manifest import MANIFEST
from ..module_utils.provision.store.pack import pack

ON_DRIVE = (
    "The build is uploaded to Google Drive in the background; provision.drive(flush=True) in the notebook waits for it."
)


def note(path, archive="", not_kept=None):
    """Note in a role's state file which archive has the build, or why none has, so that it is not retried for ever."""
    if not path:
        return
    state = read_json(path)
    state.pop("not_kept", None)
    if archive:
        state.setdefault("report", {})["archive"] = archive
    else:
        state["not_kept"] = not_kept
    write_json(path, state)


def check_mounted(store):
    """Raise StoreError for a store on a Google Drive that is not mounted."""
    problem = unmounted_problem(store, "the store ")
    if problem:
        raise StoreError(f"{problem}.", "Mount it and run it again.", code="not-mounted")


def main():
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "prefix": {"type": "path", "required": True},
            "store": {"type": "path", "required": True},
            "unfinished": {"type": "path"},
            "state_file": {"type": "path"},
            "progress": {"type": "path"},
        }
    )
    given = module.params
    start = time.monotonic()
    try:
        check_mounted(given["store"])
        packed = pack(
            given["prefix"], given["store"], read_json(os.path.join(given["prefix"], MANIFEST)),
            teller(given["progress"], "bytes"),
        )  # fmt: skip
    except StoreError as error:
        problem = f"The build was installed but not saved: {error.message} {error.hint}".strip()
        module.warn(problem)
        note(given["state_file"], not_kept={"store": given["store"], "problem": store_problem(given["store"])})
        module.exit_json(changed=False, kept={"notes": [problem]})
    if given["unfinished"]:
        shutil.rmtree(given["unfinished"], ignore_errors=True)
        with suppress(OSError):  # there are other unfinished builds
            os.rmdir(os.path.dirname(given["unfinished"]))
    note(given["state_file"], packed["archive"])
    notes = {"notes": [ON_DRIVE]} if on_drive(given["store"]) else {}
    module.exit_json(
        changed=True,
        kept={"archive": packed["archive"], **notes},
        size=packed["size"],
        sha256=packed["sha256"],
        seconds=round(time.monotonic() - start, 1),
    )


if __name__ == "__main__":
    main()
