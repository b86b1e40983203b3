"""Time a run in which nothing has to change against an empty play, pyinfra and bash, all in turn.

    python benchmarks/converge.py [--without mrpeek] [--option mrpeek_repo=/srv/mrpeek] [--runs 7] [--json FILE]

All roles are brought about first, which stays: use a machine that may be thrown away, as root. What they found to be as
wanted is then looked at by pyinfra, in a deploy as one would write it, and by a bash script: the packages, the commands
by running them, the links, the files by their contents, and the server by its process and its banner. Each looks once
at a spoilt configuration of the server, to see that it notices. A role that needs what this machine has not is left out
by name, or gets it as an option. Prints the median of each way, the memory of its largest process, and the medians of
the ratios of neighbouring runs, which hold when the machine's speed drifts: to the empty play started the same way, to
pyinfra and to bash. The extra `benchmark` brings pyinfra.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import provision
from provision.engine import content
from provision.machine import notes, places

# A public key that belongs to nobody: 32 bytes in the form of RFC 8709.
BLOB = b"\0\0\0\x0bssh-ed25519" + b"\0\0\0\x20" + hashlib.sha256(b"nobody's key").digest()
NOBODYS_KEY = f"ssh-ed25519 {base64.b64encode(BLOB).decode()} nobody"
# The roles in their order, with the options they are given here.
ROLES: dict[str, dict[str, Any]] = {
    "deps": {"deps_groups": ["run"]},
    "mrtrix3": {"mrtrix3_version": "any"},
    "mrpeek": {},
    "dcm2niix": {},
    "sshd": {"sshd_authorized_keys": [NOBODYS_KEY]},
}

# The command of each tool that is run, and what makes it tell its version in its first line.
TOOLS = {"mrtrix3": ("mrinfo", "-version"), "mrpeek": ("mrpeek", "-version"), "dcm2niix": ("dcm2niix", "-h")}

EMPTY_PLAY = "- hosts: all\n  gather_facts: false\n  tasks: []\n"
THROUGH_RUNNER = """
import sys, ansible_runner
done = ansible_runner.run(private_data_dir=sys.argv[1], playbook=sys.argv[2], inventory=sys.argv[3], quiet=True)
sys.exit(done.rc)
"""
# One fact for what pyinfra has no operation for: that something runs, and what it says.
DEPLOY = """
from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import apt, files

checks = {checks!r}
apt.packages(name="Packages", packages=checks["packages"])
for folder in checks["folders"]:
    files.directory(name=folder, path=folder)
for path, target in checks["links"].items():
    files.link(name=path, path=path, target=target)
for path, kept in checks["templates"].items():
    files.template(name=path, src=kept, dest=path, port=checks["port"])
for path, kept in checks["files"].items():
    files.put(name=path, src=kept, dest=path)
for command, expected in checks["commands"].items():
    if not host.get_fact(Command, command).startswith(expected):
        raise SystemExit(f"{{command}} has another answer")
"""
# Stands for the kernel of a notebook: runs the roles once for each line that it reads.
KERNEL_LOOP = """
import json, resource, sys, provision
roles, options = json.loads(sys.argv[1])
for _ in sys.stdin:
    changed = provision.run(*roles, **options).changed
    print(changed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
"""
EMPTY, SITE, EMPTY_RUNNER, FORCED, RUN, KERNEL, PYINFRA, BASH = (
    "empty play, ansible-playbook",
    "site.yml, ansible-playbook",
    "empty play, ansible-runner",
    "provision run --force",
    "provision run",
    "provision.run, running kernel",
    "pyinfra",
    "bash",
)
FLOORS = {SITE: EMPTY, FORCED: EMPTY_RUNNER, RUN: EMPTY_RUNNER}


# --- What there is to look at -----------------------------------------------------------------------------------------


def looked_at(reports: dict[str, dict], folder: Path) -> dict[str, Any]:
    """Return what the probe looks at where the roles are as wanted; contents to compare with are kept in the folder."""
    state = notes.read_state
    found: dict[str, Any] = {
        "packages": reports.get("deps", {}).get("packages", []),
        "commands": {},
        "links": {},
        "folders": [],
        "files": {},
        "templates": {},
        "port": 0,
    }
    for name, (command, flag) in TOOLS.items():
        if name in reports:
            place, links = reports[name]["bin"], state(name).get("link_dir")
            version = subprocess.run([f"{place}/{command}", flag], capture_output=True, text=True, check=True)
            found["commands"][f"{place}/{command} {flag}"] = version.stdout.splitlines()[0]
            commands = state(name).get("commands", [command]) if links else []
            found["links"].update({f"{links}/{one}": f"{place}/{one}" for one in commands})
    if "sshd" in reports:
        add_server(found, reports["sshd"], state("sshd"), folder)
    return found


def add_server(found: dict[str, Any], report: dict, state: dict, folder: Path) -> None:
    found["port"] = report["port"]
    found["folders"].append("/run/sshd")
    for path in state["files"]:
        kept = folder / Path(path).name
        text = Path(path).read_text()
        # pyinfra renders the configuration, as our role would, from what differs between machines.
        is_template = path.endswith("sshd_config")
        kept.write_text(text.replace(f"Port {report['port']}\n", "Port {{ port }}\n") if is_template else text)
        found["templates" if is_template else "files"][path] = str(kept)
    noted = json.loads(Path(places.state_folder(), "sshd/sshd.pid").read_text())
    found["commands"][f"cut -d ' ' -f 1,22 /proc/{noted['pid']}/stat"] = f"{noted['pid']} {noted['start']}"
    connect = f"exec 3<> /dev/tcp/{report['host']}/{report['port']}; head -c 8 <&3"
    found["commands"][f"bash -c {shlex.quote(connect)}"] = "SSH-2.0-"


def script(found: dict[str, Any]) -> str:
    """Return the checks as a bash script that fails where something is not as wanted."""
    lines = ["set -eu"]
    names = " ".join(found["packages"])
    if names:
        count = f"$(dpkg-query -W -f '${{db:Status-Abbrev}}\\n' {names} | grep -c ^ii)"
        lines.append(f"[ {count} = {len(found['packages'])} ]")
    lines += [f"[ -d '{path}' ]" for path in found["folders"]]
    lines += [f"[ \"$(readlink '{path}')\" = '{target}' ]" for path, target in found["links"].items()]
    for path in [*found["files"], *found["templates"]]:
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        lines.append(f"[ \"$(sha256sum < '{path}')\" = '{digest}  -' ]")
    lines += [f'[[ "$({command})" = {shlex.quote(expected)}* ]]' for command, expected in found["commands"].items()]
    return "\n".join([*lines, ""])


# --- The ways ---------------------------------------------------------------------------------------------------------


def flags(options: dict[str, Any]) -> list[str]:
    """Return options as the command line takes them."""
    return [
        word
        for name, value in options.items()
        for word in ("--" + name.replace("_", "-"), ",".join(value) if isinstance(value, list) else str(value))
    ]


def ways(folder: Path, roles: list[str], options: dict[str, Any], found: dict[str, Any]) -> dict[str, list[str]]:
    """Return the commands to compare."""
    root = content.root()
    inventory = str(root / "inventory" / "localhost.yml")
    for name, text in (
        ("empty.yml", EMPTY_PLAY),
        ("through_runner.py", THROUGH_RUNNER),
        ("checks.sh", script(found)),
        ("deploy.py", DEPLOY.format(checks=found)),
        ("options.json", json.dumps({**options, "provision_roles": roles})),
    ):
        (folder / name).write_text(text)
    playbook = ["ansible-playbook", "-i", inventory]
    empty = str(folder / "empty.yml")
    run = [sys.executable, "-m", "provision", "run", *roles, *flags(options)]
    return {
        EMPTY: [*playbook, empty],
        SITE: [*playbook, str(root / "playbooks" / "site.yml"), "-e", f"@{folder}/options.json"],
        EMPTY_RUNNER: [sys.executable, str(folder / "through_runner.py"), str(folder), empty, inventory],
        FORCED: [*run, "--force"],
        RUN: run,
        KERNEL: [sys.executable, "-c", KERNEL_LOOP, json.dumps([roles, options])],
        PYINFRA: ["pyinfra", "--yes", "@local", str(folder / "deploy.py")],
        BASH: ["bash", str(folder / "checks.sh")],
    }


def environment() -> dict[str, str]:
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "ANSIBLE_CONFIG": str(content.root() / "ansible.cfg"), "LC_ALL": "C.UTF-8"}


def call(argv: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, env=environment(), cwd=folder, capture_output=True, text=True, check=False)


def notices(way: str, done: subprocess.CompletedProcess[str]) -> bool:
    """Tell from what a way said whether it found anything that is not as wanted."""
    said = done.stdout + done.stderr
    if way == SITE:
        return "changed=0 " not in said
    if way in (FORCED, RUN):
        return "nothing to change" not in said
    if way == PYINFRA:
        return bool(re.search(r"\d+ \(@local\)", said))
    return done.returncode != 0


def prove(commands: dict[str, list[str]], found: dict[str, Any], folder: Path) -> None:
    """See that each way finds nothing to do, and that it notices a file with another text; nothing is changed by it."""
    spoilt = next(map(Path, found["templates"]), None)
    text = spoilt.read_text() if spoilt else ""
    looks = {
        SITE: [*commands[SITE], "--check"],
        FORCED: [*commands[FORCED], "--check"],
        RUN: [*commands[RUN], "--check"],
        BASH: commands[BASH],
        PYINFRA: ["--dry" if word == "--yes" else word for word in commands[PYINFRA]],
    }
    for way, argv in looks.items():
        for expected in (False, True) if spoilt else (False,):
            if expected:
                spoilt.write_text(text + "# spoilt\n")
            try:
                done = call(argv, folder)
            finally:
                if expected:
                    spoilt.write_text(text)
            if notices(way, done) != expected:
                sys.exit(
                    f"{way} should find {'something' if expected else 'nothing'} to do, but said:\n"
                    f"{done.stdout}{done.stderr}"
                )


class Kernel:
    """A process in which roles are run again and again."""

    def __init__(self, argv: list[str], folder: Path):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self._process = subprocess.Popen(argv, env=environment(), cwd=folder, **pipes)
        self.run()

    def run(self) -> int:
        """Run the roles; return the memory of the process in kB."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        changed, memory = self._process.stdout.readline().split()
        if changed != "0":
            sys.exit(f"{KERNEL} changed something")
        return int(memory)


def run_once(way: str, argv: list[str], folder: Path) -> int:
    """Run a way to its end; return the memory of its largest process in kB."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(argv, env=environment(), cwd=folder, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            said.seek(0)
            sys.exit(f"{way} failed:\n{said.read().decode(errors='replace')}")
    return usage.ru_maxrss


def measure(commands: dict[str, list[str]], runs: int, folder: Path) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Run all ways in turn; return their wall seconds, and the memory of the largest process of each in kB."""
    times: dict[str, list[float]] = {way: [] for way in commands}
    memory = dict.fromkeys(commands, 0)
    kernel = Kernel(commands[KERNEL], folder)
    for _ in range(runs):
        for way, argv in commands.items():
            begin = time.perf_counter()
            used = kernel.run() if way == KERNEL else run_once(way, argv, folder)
            times[way].append(time.perf_counter() - begin)
            memory[way] = max(memory[way], used)
    return times, memory


def table(times: dict[str, list[float]], memory: dict[str, int]) -> list[dict]:
    """Return a row per way."""

    def ratio(way: str, floor: str) -> float:
        return round(statistics.median(a / b for a, b in zip(times[way], times[floor], strict=True)), 2)

    return [
        {
            "way": way,
            "seconds": round(statistics.median(taken), 3),
            "empty_play": ratio(way, FLOORS.get(way, EMPTY)),
            "pyinfra": ratio(way, PYINFRA),
            "bash": ratio(way, BASH),
            "megabytes": round(memory[way] / 1024),
        }
        for way, taken in times.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without", nargs="*", default=[], choices=list(ROLES), metavar="ROLE")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="an option of a role")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not shutil.which("pyinfra", path=environment()["PATH"]):
        sys.exit("pyinfra is not installed. Run: pip install 'mrtrix-provision[benchmark]'")
    roles = [name for name in ROLES if name not in arguments.without]
    options = {name: value for role in roles for name, value in ROLES[role].items()}
    options.update(one.split("=", 1) for one in arguments.option)
    reports = provision.run(*roles, **options).to_dict()["hosts"]["localhost"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = looked_at(reports, folder)
        commands = ways(folder, roles, options, found)
        prove(commands, found, folder)
        rows = table(*measure(commands, arguments.runs, folder))
    print(f"roles: {', '.join(roles)}")
    print(f"{'way':30} {'median s':>9} {'x empty play':>13} {'x pyinfra':>10} {'x bash':>7} {'MB':>5}")
    for row in rows:
        ratios = f"{row['empty_play']:13.2f} {row['pyinfra']:10.2f} {row['bash']:7.1f}"
        print(f"{row['way']:30} {row['seconds']:9.3f} {ratios} {row['megabytes']:5}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"roles": roles, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
