#!/usr/bin/python
"""Pack an installation into the store of builds."""

from __future__ import annotations

DOCUMENTATION = """
module: store_pack
short_description: Pack an installation into the store of builds
description:
  - Packs a prefix with its manifest into one archive, reads that back, and gives it its name.
  - An installation that works is not the worse for a store that is full, read-only or gone, so that the module does
    not fail then, but says so in a note and as a warning.
author: The provision founders (!UNKNOWN)
options:
  prefix:
    type: path
    required: true
    description: The installation, with its C(manifest.json).
  store:
    type: path
    required: true
    description: The folder of archives, made when it is missing.
  unfinished:
    type: path
    description: A folder with what was kept of the build while it was unfinished, deleted once all of it is packed.
  state_file:
    type: path
    description: Where the role notes what it installed; it is told which archive has it, or that none could be made.
  progress:
    type: path
    description: A file that is told how far the packing is, as one JSON object.
"""

EXAMPLES = """
- name: Keep what was built
  provision_founders.provision.store_pack:
    prefix: /opt/mrtrix3
    store: /srv/builds
    state_file: /var/lib/provision/mrtrix3.json
"""

RETURN = """
kept:
  description: What a role adds to its report.
  type: dict
  returned: success
  contains:
    archive:
      description: The archive's path.
      type: str
      returned: when it was kept
    notes:
      description: For people, why the build was not kept, or that it reaches Google Drive later.
      type: list
      elements: str
      returned: when there is something to say
size:
  description: The archive's size in bytes.
  type: int
  returned: when it was kept
sha256:
  description: The archive's SHA-256.
  type: str
  returned: when it was kept
seconds:
  description: How long it took.
  type: float
  returned: when it was kept
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
    "The build reaches Google Drive some time after this run; provision.drive(flush=True) in the notebook waits for it."
)


def note(path, archive="", not_kept=None):
    """Note in a role's state file which archive has the build, or why none has: that is not tried again and again."""
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
    """Raise StoreError for a store on a Google Drive that is not mounted, of which there is but an empty folder."""
    problem = unmounted_problem(store)
    if problem:
        raise StoreError(f"{problem}.", "Mount it.", code="not-mounted")


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
        problem = f"The build was not kept for the next machine: {error.message} {error.hint}".strip()
        module.warn(problem)
        note(given["state_file"], not_kept={"store": given["store"], "problem": store_problem(given["store"])})
        module.exit_json(changed=False, kept={"notes": [problem]})
    if given["unfinished"]:
        shutil.rmtree(given["unfinished"], ignore_errors=True)
        with suppress(OSError):  # other builds are unfinished
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
