"""A machine with our user-data sets itself up; the stages of its cloud-init are run by hand, as nothing boots here."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest
from box import PROJECT, Box, Machines, Process

from provision.fleet.cloud_init import SCRIPT, UserData, cloud_init

# What a machine of a cloud has from the start. The box's sources of packages stay as they are.
CLOUD = """
apt-get update -qq
apt-get install -y -qq --no-install-recommends cloud-init > /dev/null
echo 'datasource_list: [NoCloud]' > /etc/cloud/cloud.cfg.d/90_box.cfg
echo 'apt: {preserve_sources_list: true}' >> /etc/cloud/cloud.cfg.d/90_box.cfg
apt-get clean && rm -r /var/lib/apt/lists/*
"""
STAGES = ("init --local", "init", "modules --mode=config", "modules --mode=final")
# systemd starts it with no more than this.
BARE = {"HOME": "", "USER": "", "LOGNAME": "", "LANG": "", "TERM": ""}
SERVE = "exec python3 -u -m http.server --bind 127.0.0.1 --directory /srv/dist 8123"
SEED = "/var/lib/cloud/seed/nocloud-net"


@dataclass(frozen=True)
class File:
    """What the new machine downloads."""

    wheel: str
    sha256: str


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the project's wheel and source archive."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--sdist", "--no-isolation", "--outdir", folder, PROJECT]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def box(machines: Machines, dist: Path) -> Iterator[Box]:
    """A machine with cloud-init, and of the project the two files in /srv/dist alone."""
    root = machines.layer(machines.base("trixie"), "cloud", lambda box: box.run(CLOUD, cwd="/"), key=[CLOUD])
    with machines.box(root) as box:
        box.run("rm -r /root/project", cwd="/")
        box.copy_in(dist, "/srv/dist")
        yield box


def served(dist: Path, pattern: str) -> File:
    """Return the address and the digest of a file."""
    (path,) = dist.glob(pattern)
    return File(f"http://127.0.0.1:8123/{path.name}", hashlib.sha256(path.read_bytes()).hexdigest())


def serve(box: Box) -> Process:
    """Start the server of what is downloaded, and return when it listens."""
    server = box.popen(SERVE)
    assert server.stdout.readline().startswith("Serving")
    return server


def user_data(file: File) -> UserData:
    return cloud_init("mrtrix3", version="any", origin="package", **asdict(file))


def boot(box: Box, data: UserData) -> tuple[dict, str]:
    """Boot with this user-data for the first time; return what cloud-init says of its last stage, and its log."""
    box.run("cloud-init clean --logs")
    box.write(f"{SEED}/meta-data", "instance-id: box\n")
    box.write(f"{SEED}/user-data", f"{data}\n")
    assert "Valid" in box.run(f"cloud-init schema --config-file {SEED}/user-data").stdout
    for stage in STAGES:
        box.run(f"cloud-init {stage}", env=BARE, cwd="/", check=False)
    status = json.loads(box.run("cloud-init status --format json", check=False).stdout)
    return status, box.read("/var/log/cloud-init-output.log")


def test_a_machine_has_what_its_user_data_asks_for_after_its_first_boot(box: Box, dist: Path) -> None:
    wheel, archive = served(dist, "*.whl"), served(dist, "*.tar.gz")
    server = serve(box)

    # Another file than was promised: nothing is installed, and cloud-init reports the failure.
    status, log = boot(box, user_data(replace(wheel, sha256="0" * 64)))
    assert status["status"] == "error" and len(status["errors"]) == 1
    assert re.findall(r"^Error: .* has the SHA-256 (\w+), not 0+\.$", log, re.M) == [wheel.sha256]
    box.run("test ! -e /usr/local/bin/provision && ! command -v mrinfo")

    status, log = boot(box, user_data(wheel))
    assert status["status"] == "done" and status["errors"] == [], log
    assert box.run("mrinfo -version", user="jane").stdout.startswith("== mrinfo 3.")
    assert box.run("provision --version", user="jane").stdout.startswith("provision ")
    assert box.run("find /opt/provision ! -type l -perm /022").stdout == ""

    # Once more, by hand and with a server that is gone: nothing is downloaded, and nothing changes.
    server.terminate()
    server.wait()
    assert box.run(SCRIPT).stdout.endswith("nothing changed\n")

    # With the source archive, which brings a lock.
    serve(box)
    box.write(SCRIPT, user_data(archive).script, mode="755")
    assert box.run(SCRIPT, env=BARE, cwd="/").stdout.endswith("nothing changed\n")
    assert archive.sha256[:12] in box.run("readlink /usr/local/bin/provision").stdout
