#!/usr/bin/python
"""Download ngrok's agent, check it, and install it completely or not at all."""

from __future__ import annotations

DOCUMENTATION = """
module: ngrok_agent
short_description: Download ngrok's agent
description:
  - Downloads the agent, from the address that pyngrok knows or from another one, into a folder of its own. It is
    installed once its checksum is right, if one is given, and once it reports its version, if it can run here.
  - The connection must be encrypted unless a checksum is given, and the size is limited.
  - Runs on the machine that has pyngrok, which need not be the one that the agent is for.
author: The provision founders (!UNKNOWN)
options:
  path:
    type: path
    required: true
    description: The path of the agent.
  machine:
    type: str
    required: true
    description: The architecture that it is for, as printed by C(uname -m).
  url:
    type: str
    default: ""
    description: The URL of the archive.
  sha256:
    type: str
    default: ""
    description: The SHA-256 of the archive.
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
# Only `changed`, which is always true.
"""

import hashlib
import os
import platform

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.download import DownloadError, opened, shown
from ..module_utils.provision.failures import explain
from ..module_utils.provision.file_lock import fail_when_locked, locked
from ..module_utils.provision.look.ngrok import agent_version
from ..module_utils.provision.store.members import unpack
from ..module_utils.provision.tool.staging import staging

# pyngrok's names for the output of `uname -m`.
_KINDS = {
    "x86_64": "linux_x86_64", "aarch64": "linux_x86_64_arm", "i686": "linux_i386", "armv7l": "linux_i386_arm",
    "s390x": "linux_s390x", "ppc64le": "linux_ppc64le",
}  # fmt: skip
_LARGEST = 200 << 20  # bytes; the agent has about 30 million
_OWN_CODES = ("cut-off", "not-encrypted", "too-large", "too-slow")


def address(module):
    """Return the URL of the agent: the one given, else the one that pyngrok knows."""
    given = module.params
    if given["url"]:
        return given["url"]
    try:
        from pyngrok import installer
    except ImportError:
        module.fail_json(
            msg="pyngrok, which knows where to download ngrok's agent, is not installed on the controller.",
            hint="Install it there (pip install pyngrok), or set ngrok_agent_path to an agent.",
            code="no-pyngrok",
        )
    url = installer.PLATFORMS.get(_KINDS.get(given["machine"]))
    if not url:
        module.fail_json(
            msg=f"There is no ngrok agent for {given['machine']}.",
            hint="If you have one, set ngrok_agent_path to it.",
            code="no-agent",
        )
    return url


def download(url, hashed, path):
    """Download a file whose hash may be known; return its SHA-256."""
    found = hashlib.sha256()
    with opened(url, hashed, _LARGEST) as given, open(path, "wb") as file:
        for piece in iter(lambda: given.read(1 << 16), b""):
            found.update(piece)
            file.write(piece)
    return found.hexdigest()


def fetch(module, folder):
    """Download, check and unpack the agent into an empty folder; return its path."""
    url, sha256 = address(module), module.params["sha256"].lower()
    again = "Try again later, or set ngrok_download_url to another source or ngrok_agent_path to an agent."
    archive = os.path.join(folder, "archive")
    try:
        found = download(url, bool(sha256), archive)
    except DownloadError as error:
        code = error.code if error.code in _OWN_CODES else "agent-not-downloaded"
        module.fail_json(msg=f"Downloading ngrok's agent failed: {error.message}", hint=again, code=code)
    if sha256 and found != sha256:
        module.fail_json(
            msg=f"The downloaded ngrok agent has the SHA-256 {found}, which is not the expected one.",
            hint="Check ngrok_sha256: ngrok's own URL always serves the newest agent.",
            code="wrong-checksum",
        )
    agent = os.path.join(folder, "unpacked", "ngrok")
    os.mkdir(os.path.dirname(agent), 0o755)
    try:
        unpack(archive, os.path.dirname(agent))
    except ValueError:
        agent = ""
    if not os.path.isfile(agent):
        module.fail_json(
            msg=f"The file from {shown(url)} is not an archive of ngrok's agent.",
            hint=again,
            code="bad-archive",
        )
    os.chmod(agent, 0o755)
    if module.params["machine"] == platform.machine() and not agent_version(agent):
        module.fail_json(
            msg="The downloaded ngrok agent does not run.",
            hint="Try again, or set ngrok_download_url to another source.",
            code="agent-does-not-run",
        )
    return agent


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
    os.umask(0o022)
    path = module.params["path"]
    place = os.path.dirname(path)
    try:
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        with fail_when_locked(module), locked(f"{place}.lock", seconds=60), staging(place) as folder:
            agent = fetch(module, folder)
            os.makedirs(place, exist_ok=True)
            os.replace(agent, path)
    except OSError as error:
        msg, hint = explain(error)
        module.fail_json(msg=msg, hint=hint, code="agent-not-downloaded")
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
