"""The agents to test with, and the configuration with which they connect to the stand-in.

The real agent of version 2 is the newest that a package registry has. It is proprietary: it is downloaded by npm, as
npm is configured here, checked against its published hash each time, and never kept but in the cache of the tests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "@expo/ngrok-bin-linux-x64@2.3.42"
INTEGRITY = "o77V0/a5DyhqGRmqpfVYCs8ks9Lv7qyDQP7jtUbnbNyJ645cui1jg3kzZm/e2MbX1LSHiRNniGQowxk7v03nYg=="
ARCHIVE = "expo-ngrok-bin-linux-x64-2.3.42.tgz"
MEMBER = "package/ngrok"
SECONDS = 120

DOUBLE = """\
#!{python}
import sys
sys.path.insert(0, {tests!r})
from ngrok_service.agent_double import main
main({version!r})
"""


class NoAgent(Exception):
    """The agent cannot be had here; the text is a reason to skip a test."""


def cache() -> Path:
    """Return the folder that keeps the downloaded agent: the one that the tests' machines are kept in, for root."""
    everyone = Path("/var/cache") if os.geteuid() == 0 else Path.home() / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or everyone) / "provision-tests" / "ngrok"


def why_no_platform() -> str | None:
    """Say why there is no real agent for this machine at all; None when there is one."""
    if (sys.platform, platform.machine()) == ("linux", "x86_64"):
        return None
    return "the real agent of ngrok that the tests use is for Linux on x86-64"


def install_real_agent(path: Path) -> None:
    """Write the real agent, version 2.3.41, to a path; raise NoAgent where it cannot be had."""
    archive = cache() / ARCHIVE
    if not _is_intact(archive):
        _download(archive)
    with tarfile.open(archive) as package, path.open("wb") as agent:
        shutil.copyfileobj(package.extractfile(MEMBER), agent)
    path.chmod(0o755)


def install_double(path: Path, *, version: str = "3.39.10", python: str = sys.executable) -> None:
    """Write the double of the agent of version 3 to a path; the Python must have `ngrok` and `PyYAML`."""
    path.write_text(DOUBLE.format(python=python, tests=str(Path(__file__).parents[1]), version=version))
    path.chmod(0o755)


def configuration(address: str, ca: Path, token: str, *, web: str, version: int) -> str:
    """Return the text of an agent's configuration file.

    Parameters
    ----------
    address, ca
        Those of the service.
    token
        What to authenticate with.
    web
        Host and port of the agent's local API.
    version
        2 or 3, of the agent.
    """
    if version == 3:
        agent = {"authtoken": token, "connect_url": address, "connect_cas": str(ca), "crl_noverify": True}
        return json.dumps({"version": 3, "agent": agent | {"web_addr": web, "update_check": False}})
    agent = {"authtoken": token, "server_addr": address, "root_cas": str(ca), "console_ui": False}
    # Each by itself stops it from asking its makers for a newer one.
    return json.dumps(agent | {"web_addr": web, "update": False, "update_check": False})


def _download(archive: Path) -> None:
    if reason := why_no_platform():
        raise NoAgent(reason)
    if not shutil.which("npm"):
        raise NoAgent("npm is needed to download the real agent of ngrok")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as draft:
        command = ["npm", "pack", PACKAGE, "--pack-destination", draft]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise NoAgent(f"npm had not downloaded the real agent of ngrok after {SECONDS} s") from None
        if done.returncode:
            raise NoAgent(f"npm could not download the real agent of ngrok: {done.stderr.strip()}")
        if not _is_intact(Path(draft, ARCHIVE)):
            raise AssertionError(f"what npm downloaded as {PACKAGE} is not what was published")
        Path(draft, ARCHIVE).rename(archive)


def _is_intact(archive: Path) -> bool:
    if not archive.is_file():
        return False
    return base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() == INTEGRITY
