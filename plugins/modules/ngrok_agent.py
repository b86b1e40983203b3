#!/usr/bin/python
"""Download ngrok's agent, check it, and put it in its place whole or not at all."""

from __future__ import annotations

DOCUMENTATION = """
module: ngrok_agent
short_description: Download ngrok's agent
description:
  - Downloads the agent with pyngrok, from where pyngrok knows it or from an address that is given, into a folder of its
    own. It is put in its place once its checksum is the one given and, where it can run, it tells its version.
  - It runs where pyngrok is, which need not be the machine that the agent is for.
author: The provision founders (!UNKNOWN)
options:
  path:
    type: path
    required: true
    description: Where the agent goes.
  machine:
    type: str
    required: true
    description: The architecture that it is for, as C(uname -m) tells it.
  url:
    type: str
    default: ""
    description: The address of the archive.
  sha256:
    type: str
    default: ""
    description: The checksum of the archive.
"""

EXAMPLES = """
- name: Download the newest agent
  provision_founders.provision.ngrok_agent:
    path: /opt/ngrok/agent/ngrok
    machine: x86_64

- name: Download one version from a mirror
  provision_founders.provision.ngrok_agent:
    path: /opt/ngrok/agent/ngrok
    machine: aarch64
    url: https://mirror.example.org/ngrok-v3-3.30.0-linux-arm64.tgz
    sha256: "{{ ngrok_archive_sha256 }}"
"""

RETURN = """
# Nothing but that it has changed something: whether an agent is needed is what its caller has seen.
"""

import contextlib
import hashlib
import io
import os
import platform
import re
import tarfile
import tempfile

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision_files import explain, fail_when_locked, locked, staging
from ..module_utils.provision_look_ngrok import agent_version

# How pyngrok names what `uname -m` tells.
_KINDS = {
    "x86_64": "linux_x86_64", "aarch64": "linux_x86_64_arm", "i686": "linux_i386", "armv7l": "linux_i386_arm",
    "s390x": "linux_s390x", "ppc64le": "linux_ppc64le",
}  # fmt: skip
_SECONDS = 30  # without a byte


def download(module, folder):
    """Download and unpack the agent into an empty folder; return the paths of the archive and of the agent."""
    try:
        from pyngrok import exception, installer
    except ImportError:
        module.fail_json(
            msg="ngrok's agent is downloaded with pyngrok, which is not installed where this is run from.",
            hint="Install it there (pip install pyngrok), or name an agent: ngrok_agent_path.",
        )
    given = module.params
    url = given["url"] or installer.PLATFORMS.get(_KINDS.get(given["machine"]))
    if not url:
        module.fail_json(
            msg=f"There is no agent of ngrok for {given['machine']}.", hint="Name one that you have: ngrok_agent_path."
        )
    installer.PLATFORMS = dict.fromkeys(installer.PLATFORMS, url)
    tempfile.tempdir = folder  # pyngrok's name for the archive is no secret
    # Nothing in an archive may leave the folder that it is unpacked to.
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    agent = os.path.join(folder, "unpacked", "ngrok")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it tells how far it is
            installer.install_ngrok(agent, timeout=_SECONDS)
    except exception.PyngrokError as error:
        reason = re.sub(r"^<\w+ error (.*)>$", r"\1", str(error).partition(f"{url}: ")[2] or str(error))
        module.fail_json(
            msg=f"ngrok's agent could not be downloaded from {url}: {reason}.",
            hint="Try again later, or name another place (ngrok_download_url) or an agent (ngrok_agent_path).",
        )
    return os.path.join(folder, url.rpartition("/")[2]), agent


def check(module, archive, agent):
    """Fail unless the archive has the checksum wanted, and the agent in it runs, if it is for a machine like this."""
    given = module.params
    with open(archive, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    if given["sha256"] and digest != given["sha256"].lower():
        module.fail_json(
            msg=f"What was downloaded as ngrok's agent has the SHA-256 {digest}, which is not the one wanted.",
            hint="Check ngrok_sha256: ngrok's own address always gives the newest agent.",
        )
    if given["machine"] == platform.machine() and not agent_version(agent):
        module.fail_json(
            msg="What was downloaded as ngrok's agent does not run.",
            hint="Try again, or name another place: ngrok_download_url.",
        )


def main():
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "machine": {"type": "str", "required": True},
            "url": {"type": "str", "default": ""},
            "sha256": {"type": "str", "default": ""},
        },
    )
    path = module.params["path"]
    place = os.path.dirname(path)
    try:
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        with fail_when_locked(module), locked(f"{place}.lock", seconds=60), staging(place) as folder:
            archive, agent = download(module, folder)
            check(module, archive, agent)
            os.makedirs(place, exist_ok=True)
            os.chmod(agent, 0o755)
            os.replace(agent, path)
    except OSError as error:
        msg, hint = explain(error)
        module.fail_json(msg=msg, hint=hint)
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
