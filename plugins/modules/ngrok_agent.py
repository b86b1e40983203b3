#!/usr/bin/python
"""Download ngrok's agent, check it, and put it in its place whole or not at all."""

from __future__ import annotations

DOCUMENTATION = """
module: ngrok_agent
short_description: Download ngrok's agent
description:
  - Downloads the agent from where pyngrok knows it or from an address that is given, into a folder of its own. It is
    put in its place once its checksum is the one given and, where it can run, it tells its version.
  - Only what is encrypted on its way is taken, or what has the checksum given, and no more of it than an agent has.
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

import errno
import hashlib
import os
import platform
import re
import shutil
import time
import urllib.request
import zipfile
from http.client import HTTPException

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.download import DownloadError
from ..module_utils.provision.failures import explain
from ..module_utils.provision.file_lock import fail_when_locked, locked
from ..module_utils.provision.look.ngrok import agent_version, is_safe
from ..module_utils.provision.store.members import unpack
from ..module_utils.provision.tool.staging import staging

# How pyngrok names what `uname -m` tells.
_KINDS = {
    "x86_64": "linux_x86_64", "aarch64": "linux_x86_64_arm", "i686": "linux_i386", "armv7l": "linux_i386_arm",
    "s390x": "linux_s390x", "ppc64le": "linux_ppc64le",
}  # fmt: skip
_SILENCE = 30  # seconds without a byte
_LONGEST = 900  # seconds in all
_LARGEST = 200 << 20  # bytes; the agent has about 30 million


def address(module):
    """Return where the agent is downloaded from: the address given, else the one that pyngrok knows."""
    given = module.params
    if given["url"]:
        return given["url"]
    try:
        from pyngrok import installer
    except ImportError:
        module.fail_json(
            msg="Where ngrok's agent is downloaded from is known to pyngrok, which is not installed where this is run "
            "from.",
            hint="Install it there (pip install pyngrok), or name an agent: ngrok_agent_path.",
            code="no-pyngrok",
        )
    url = installer.PLATFORMS.get(_KINDS.get(given["machine"]))
    if not url:
        module.fail_json(
            msg=f"There is no agent of ngrok for {given['machine']}.",
            hint="Name one that you have: ngrok_agent_path.",
            code="no-agent",
        )
    return url


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, sha256):
        self._sha256 = sha256

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not is_safe(newurl, self._sha256):
            raise DownloadError(f"the server sends on to {newurl}, which is not encrypted", code="not-encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url, sha256, path):
    """Download a file of a size and in a time that an agent may have."""
    end, size = time.monotonic() + _LONGEST, 0
    opener = urllib.request.build_opener(_Redirects(sha256))
    with opener.open(url, timeout=_SILENCE) as answer, open(path, "wb") as file:
        expected = int(answer.headers.get("Content-Length") or 0)
        while True:
            piece = answer.read(1 << 16)
            size += len(piece)
            if size > _LARGEST or expected > _LARGEST:
                raise DownloadError(f"it has more than {_LARGEST >> 20} MB", code="too-large")
            if time.monotonic() > end:
                raise DownloadError(f"it took more than {_LONGEST} s", code="too-slow")
            if not piece:
                break
            file.write(piece)
    if size < expected:
        raise DownloadError(f"it ended after {size} of {expected} bytes", code="cut-off")


def unpacked(archive, folder):
    """Return the path of the agent that an archive has, unpacked."""
    os.mkdir(folder, 0o755)
    agent = os.path.join(folder, "ngrok")
    if not zipfile.is_zipfile(archive):
        unpack(archive, folder)
        return agent
    try:
        with zipfile.ZipFile(archive) as packed:
            if packed.getinfo("ngrok").file_size > _LARGEST:
                raise ValueError(f"its agent has more than {_LARGEST >> 20} MB")
            with packed.open("ngrok") as source, open(agent, "wb") as file:
                shutil.copyfileobj(source, file)  # it gives no more than the size that it tells
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{archive} cannot be unpacked: {error}") from error
    return agent


def fetch(module, folder):
    """Download, check and unpack the agent into an empty folder; return its path."""
    url, sha256 = address(module), module.params["sha256"].lower()
    shown = re.sub(r"(?<=://)[^/@]*@|[?#].*", "", url)
    again = "Try again later, or name another place (ngrok_download_url) or an agent (ngrok_agent_path)."
    archive = os.path.join(folder, "archive")
    try:
        download(url, sha256, archive)
    except (OSError, ValueError, HTTPException, DownloadError) as error:
        if isinstance(error, OSError) and (error.errno in (errno.ENOSPC, errno.EDQUOT) or error.filename == archive):
            raise
        reason = getattr(error, "reason", None) or error
        module.fail_json(
            msg=f"ngrok's agent could not be downloaded from {shown}: {str(reason).rstrip('.')}.",
            hint=again,
            code=error.code if isinstance(error, DownloadError) else "agent-not-downloaded",
        )
    digest = hashlib.sha256()
    with open(archive, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    if sha256 and digest.hexdigest() != sha256:
        module.fail_json(
            msg=f"What was downloaded as ngrok's agent has the SHA-256 {digest.hexdigest()}, which is not the one "
            "wanted.",
            hint="Check ngrok_sha256: ngrok's own address always gives the newest agent.",
            code="wrong-checksum",
        )
    try:
        agent = unpacked(archive, os.path.join(folder, "unpacked"))
    except ValueError:
        agent = ""
    if not os.path.isfile(agent):
        module.fail_json(
            msg=f"What was downloaded from {shown} is not an archive with ngrok's agent.",
            hint=again,
            code="bad-archive",
        )
    os.chmod(agent, 0o755)
    if module.params["machine"] == platform.machine() and not agent_version(agent):
        module.fail_json(
            msg="What was downloaded as ngrok's agent does not run.",
            hint="Try again, or name another place: ngrok_download_url.",
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
