"""Roots that several tests stand on, each made once a session."""

from __future__ import annotations

import json
from pathlib import Path

from box import Box, Machines

# MRtrix3 in the shape of a git repository, where no git host can be reached: the distribution's source of it.
SOURCE = """
set -e
export DEBIAN_FRONTEND=noninteractive
sed -i 's/^Types: deb$/Types: deb deb-src/' /etc/apt/sources.list.d/*.sources 2> /dev/null || true
grep -q deb-src /etc/apt/sources.list.d/* /etc/apt/sources.list 2> /dev/null ||
    sed 's/^deb /deb-src /' /etc/apt/sources.list > /etc/apt/sources.list.d/sources.list
apt-get update -qq
apt-get install -y -qq --no-install-recommends git ca-certificates dpkg-dev > /dev/null
mkdir -p /srv && cd /srv
apt-get source -qq mrtrix3 > /dev/null
mv mrtrix3-*/ mrtrix3 && cd mrtrix3
git init -q && git add -A -f && git -c user.name=t -c user.email=t@example.org commit -q -m source
git tag 3.0.3 && git branch feature
git config --system --add safe.directory '*'
"""
BUILD = "provision run mrtrix3 --origin source --repo /srv/mrtrix3 --version 3.0.3 --commands mrinfo,dwi2response"


def provision(box: Box, line: str, program: str = "./bootstrap provision", **options) -> dict:
    """Run a `provision` command that succeeds and return what it prints as JSON."""
    return json.loads(box.run(f"{program} {line} --json", **options).stdout)


def refused(box: Box, line: str, **options) -> dict:
    """Run a `provision` command that must fail and return the error it prints as JSON."""
    done = box.run(f"./bootstrap provision {line} --json", check=False, **options)
    assert done.returncode in (1, 2), done.stdout + done.stderr
    return json.loads(done.stdout)["error"]


def packaged(machines: Machines, suite: str) -> Path:
    """Return a root where the distribution's MRtrix3 was installed."""
    return machines.layer(
        machines.ready(suite), "packaged", lambda box: box.run("./bootstrap provision run mrtrix3 --version any")
    )


def with_source(machines: Machines) -> Path:
    """Return a bookworm root with git and the repository /srv/mrtrix3."""
    return machines.layer(machines.ready("bookworm"), "source", lambda box: box.run(SOURCE, cwd="/"))


def snapshot(box: Box) -> str:
    """Return what tells that a refused run changed nothing: packages, and files where the roles put any."""
    return box.run(
        "dpkg-query -W; find /opt /usr/local /var/lib/provision /home /root/.local /root/.cache/provision ! -type d "
        "! -path '*/project/*' ! -path '*/.local/state/provision/logs/*' ! -path '*/__pycache__/*' 2> /dev/null | sort"
    ).stdout
