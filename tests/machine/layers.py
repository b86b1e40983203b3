"""Roots that several tests stand on, each made once and kept as long as what makes it stays the same."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from pathlib import Path

import pytest
from box import PROJECT, Box, Machines, cache, project_files

# MRtrix3 in the shape of a git repository, where no git host can be reached: the distribution's source of it. That is
# 3.0.3, whose Python commands want two modules that Python 3.12 has no more; what they use of them lies beside them.
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
mkdir bin/distutils && echo 'from shutil import which as find_executable' > bin/distutils/spawn.py
touch bin/distutils/__init__.py
cat > bin/imp.py <<'END'
import importlib.util, os, sys
def find_module(name, folders):
    path = os.path.join(folders[0], name, '__init__.py')
    if not os.path.exists(path):
        raise ImportError(name)
    return None, path, None
def load_module(name, file, path, description):
    spec = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
END
git init -q && git add -A -f && git -c user.name=t -c user.email=t@example.org commit -q -m source
git tag 3.0.3 && git branch feature
git config --system --add safe.directory '*'
"""
# A client of SSH with two keys, and a command as MRtrix3's are, for the sessions to find.
CLIENT = """
apt-get install -y -qq --no-install-recommends openssh-client sshpass > /dev/null
mkdir -m 0700 -p ~/.ssh
ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/other
printf '#!/bin/sh\\necho "== mrinfo 3.0.8 =="\\n' > /usr/local/bin/mrinfo
chmod +x /usr/local/bin/mrinfo
"""
# As it is on Google Colab: the package is there, and no server of its runs.
SERVER = """
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod +x /usr/sbin/policy-rc.d
apt-get install -y -qq --no-install-recommends openssh-server > /dev/null
rm /usr/sbin/policy-rc.d
"""
# What Colab pins (its pip-freeze.txt of 2026-08-19), and what runs a notebook without a browser.
KERNEL = "ipykernel==6.17.1 ipython==7.34.0 traitlets==5.7.1 nbclient"
# Without the notebook server that it asks for, which a kernel has no use for.
WIDGETS = "ipywidgets==7.7.1 ipython-genutils==0.2.0"
INIT = "DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends systemd-sysv dbus > /dev/null"
# The sources of the distribution are no commit of MRtrix3's.
OURS = "--commit $(git -C /srv/mrtrix3 rev-parse 3.0.3)"
MADE = f"--origin source --repo /srv/mrtrix3 --version 3.0.3 {OURS}"
BUILD = f"provision run mrtrix3 {MADE} --commands mrinfo,dwi2response"
TREE = "~/.cache/provision/source/mrtrix3-3.0.3"
# A compiler that remembers what it has compiled, and takes its time over it so that a build can be met in the middle:
# compiling MRtrix3 anew for each change of the product is most of what the tests would take.
COMPILER = f"""
provision run deps --groups run,build > /dev/null
rm /var/lib/provision/deps.json
apt-get install -y -qq --no-install-recommends ccache > /dev/null
cat > /srv/g++ <<'END'
#!/bin/sh
case " $* " in *" -c "*) sleep 0.8 ;; esac
# What is precompiled of the headers is remembered, too.
export CCACHE_DIR=/var/cache/ccache CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
exec ccache "$(readlink -f /usr/bin/g++.real)" "$@"
END
chmod 755 /srv/g++
dpkg-divert --quiet --rename --divert /usr/bin/g++.real --add /usr/bin/g++
mv /srv/g++ /usr/bin/g++
{BUILD} > /dev/null
provision run mrtrix3 --state absent > /dev/null
rm -r ~/.cache/provision
"""
# As small as a tree can be that is laid out like MRtrix3's with CMake.
MINIATURE = {
    "CMakeLists.txt": """
cmake_minimum_required(VERSION 3.22)
project(mini LANGUAGES CXX)
set_property(GLOBAL PROPERTY RULE_LAUNCH_COMPILE ${CMAKE_SOURCE_DIR}/compiling)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/cpp/core)
set(CMAKE_INSTALL_RPATH $ORIGIN/../lib)
add_library(core SHARED core.cpp)
add_executable(mrinfo cpp/cmd/mrinfo.cpp)
target_link_libraries(mrinfo core)
add_custom_target(dwi2response ALL COMMAND
  ${CMAKE_COMMAND} -E copy ${CMAKE_SOURCE_DIR}/python/mrtrix3/commands/dwi2response.py bin/dwi2response)
file(WRITE ${CMAKE_BINARY_DIR}/lib/mrtrix3/__init__.py "")
""",
    # Notes what is compiled, and does not get to the command where /srv/stuck is.
    "compiling": """#!/bin/sh
case "$*" in
  *mrinfo.cpp*) while test -e /srv/stuck; do sleep 0.2; done; echo mrinfo >> /srv/compiled ;;
  *core.cpp*) echo core >> /srv/compiled ;;
esac
exec "$@"
""",
    "core.cpp": 'const char* version() { return "9.9.9"; }\n',
    "cpp/cmd/mrinfo.cpp": """
#include <cstdio>
const char* version();
int main() { std::printf("== mrinfo %s ==\\n", version()); }
""",
    "python/mrtrix3/commands/dwi2response.py": "#!/usr/bin/env python3\nprint('== dwi2response 9.9.9 ==')\n",
}
COMMIT = "git init -q -b dev; git add -A; git -c user.name=t -c user.email=t@example.org commit -q -m mini"
# Without the note of what was installed, that is part of the machine.
TO_BUILD = f"""
apt-get install -y -qq --no-install-recommends git > /dev/null
cd /srv/mini && {COMMIT}
cd /root/project && ./bootstrap provision run deps --groups run,build,cmake > /dev/null
rm /var/lib/provision/deps.json
"""
# The plain playbook does the same as `provision run`.
INSTALL = {
    "bookworm": "./bootstrap ansible-playbook playbooks/mrtrix3.yml -e mrtrix3_version=any",
    "trixie": "./bootstrap provision run mrtrix3 --version any",
}
# A dwi2fod of coarser FODs, in a fourth of the time, for where it does not matter which fibres they have.
COARSE_FODS = """#!/bin/sh
for word; do
    case $word in
        -lmax) orders= && break ;;
        *.txt) orders=${{orders:+$orders,0}} && orders=${{orders:-4}} ;;
    esac
done
exec {dwi2fod} "$@" ${{orders:+-lmax "$orders"}}
"""
# Counts the objects in the pieces of an unfinished build.
COUNT_KEPT = """
import glob, sys
sys.path.insert(0, "/root/project")
from plugins.module_utils.provision.store.read import stream_of
names = set()
for path in glob.glob("/srv/drive/unfinished/*/*.tar.zst"):
    with stream_of(path) as tar:
        names.update(member.name for member in tar if member.name.endswith(".o"))
print(len(names))
"""


def provision(box: Box, line: str, program: str = "./bootstrap provision", **options) -> dict:
    """Run a `provision` command that succeeds and return what it prints as JSON."""
    return json.loads(box.run(f"{program} {line} --json", **options).stdout)


def refused(box: Box, line: str, program: str = "./bootstrap provision", **options) -> dict:
    """Run a `provision` command that must fail and return the error it prints as JSON."""
    done = box.run(f"{program} {line} --json", check=False, **options)
    assert done.returncode in (1, 2), done.stdout + done.stderr
    return json.loads(done.stdout)["error"]


def as_ordinary_user(box: Box) -> dict[str, str]:
    """Make a user without sudo, and return how that one runs `provision`: in root's environment, which serves both."""
    box.add_user("eve", sudo=False)
    box.run("chmod 711 /root")
    return {"user": "eve", "program": f"{box.project}/.venv/bin/provision"}


def agree(box: Box, role: str, **options: object) -> None:
    """See that a run of a role is answered at once where, and only where, Ansible would find nothing to do.

    Each thing that the role has installed is taken away or changed in turn; at last, a process of its is killed.
    """
    box.write("/root/options", json.dumps(options), mode="600")
    found = json.loads(box.run(f".venv/bin/python tests/machine/at_once/compare.py {role} < /root/options").stdout)
    assert found["wrong"] == []
    assert found["due"] > 0


@functools.cache
def product() -> str:
    """Return a digest of all of the project that has a hand in an installation."""
    names = sorted(path.relative_to(PROJECT) for path in project_files() if path.is_file())
    parts = ("plugins", "roles", "playbooks", "provision", "inventory", "ansible.cfg")
    taken = [name for name in names if name.parts[0] in parts and name.suffix != ".md"]
    return hashlib.sha256(b"".join(bytes(name) + (PROJECT / name).read_bytes() for name in taken)).hexdigest()


def packaged(machines: Machines, suite: str) -> Path:
    """Return a root where the distribution's MRtrix3 was installed."""
    install = INSTALL[suite]
    return machines.layer(machines.ready(suite), "packaged", lambda box: box.run(install), key=[install, product()])


def with_colabs_kernel(machines: Machines, root: Path) -> Path:
    """Return a root with a kernel as Colab's in the project's environment, and what runs a notebook with it."""

    def install(box: Box) -> None:
        box.run(f".venv/bin/python -m pip install -q {KERNEL}")
        box.run(f".venv/bin/python -m pip install -q --no-deps {WIDGETS}")

    return machines.layer(root, "colab", install, key=[KERNEL, WIDGETS])


def with_ssh_client(machines: Machines, suite: str) -> Path:
    """Return a root with an SSH client, two keys in root's home, and no server."""
    return machines.layer(machines.ready(suite), "ssh-client", lambda box: box.run(CLIENT), key=[CLIENT])


def with_ssh(machines: Machines, suite: str) -> Path:
    """Return the same with openssh-server installed."""
    return machines.layer(with_ssh_client(machines, suite), "ssh", lambda box: box.run(SERVER), key=[SERVER])


def miniature(machines: Machines) -> Path:
    """Return a trixie root with SSH, what compiling wants, and the repository /srv/mini, which compiles in no time."""

    def prepare(box: Box) -> None:
        for name, text in MINIATURE.items():
            box.write(f"/srv/mini/{name}", text, mode="755")
        box.run(f"set -e\n{TO_BUILD}")

    key = [json.dumps(MINIATURE), TO_BUILD]
    return machines.layer(with_ssh(machines, "trixie"), "miniature", prepare, key=key)


def with_systemd(machines: Machines) -> Path:
    """Return a trixie root with an SSH client, no server, and systemd, which does not run by itself in a box."""
    return machines.layer(with_ssh_client(machines, "trixie"), "systemd", lambda box: box.run(INIT), key=[INIT])


def with_source(machines: Machines) -> Path:
    """Return a bookworm root with git and the repository /srv/mrtrix3."""
    return machines.layer(machines.ready("bookworm"), "source", lambda box: box.run(SOURCE, cwd="/"), key=[SOURCE])


def with_compiler(machines: Machines) -> Path:
    """Return the same with a compiler that has compiled what `BUILD` wants.

    That takes ten minutes of a processor, so what it remembers outlives the roots, which are made anew every week.
    """
    path = {"PATH": "/root/project/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    kept = cache() / "ccache"

    def compile_once(box: Box) -> None:
        if kept.is_dir():
            box.copy_in(kept, "/var/cache/ccache")
        box.run(f"set -e\n{COMPILER}", env=path, timeout=1800)
        box.copy_out("/var/cache/ccache", kept)

    return machines.layer(with_source(machines), "compiler", compile_once, key=[COMPILER])


def snapshot(box: Box) -> str:
    """Return what tells that a refused run changed nothing: packages, and files where the roles put any."""
    return box.run(
        "dpkg-query -W; find /opt /usr/local /var/lib/provision /home /root/.local /root/.cache/provision ! -type d "
        "! -path '*/project/*' ! -path '*/.local/state/provision/logs/*' ! -path '*/__pycache__/*' "
        "! -path '*/.local/state/provision/wanted/*' 2> /dev/null | sort"
    ).stdout


def take_builds(box: Box, folder: Path, names: str = "*") -> Path:
    """Copy what is in the store /srv/drive of a box into a folder, and return that."""
    box.run(f"mkdir /srv/taken && cp /srv/drive/{names} /srv/taken")
    box.copy_out("/srv/taken", folder)
    return folder


def bring_builds(folder: Path, box: Box) -> None:
    """Lay such a folder's files into the store /srv/store of another box."""
    for path in folder.iterdir():
        box.copy_in(path, f"/srv/store/{path.name}")


def steps_done(box: Box) -> int:
    """Return how many objects the build of the source tree has announced so far."""
    return int(box.run(f"cat {TREE}/provision-build.log 2> /dev/null | grep -c '\\[CC\\]'; true").stdout)


def begin_build(box: Box, options: str = "") -> None:
    """Start a build and return once it has begun ten more objects."""
    before = steps_done(box)
    # What a shell starts in its background ignores interrupts, and so would the run.
    line = f"exec env --default-signal=INT .venv/bin/{BUILD} {options}"
    box.write("/tmp/start", f"cd ~/project; {line} > /tmp/out 2>&1\n")
    box.run("setsid bash /tmp/start < /dev/null > /dev/null 2>&1 &")
    end = time.monotonic() + 400
    while steps_done(box) < before + 10:
        assert time.monotonic() < end, box.read("/tmp/out")
        time.sleep(1)


def stop_build(box: Box, sign: str) -> None:
    """Send a signal to `provision` alone, and see that all it had started ends."""
    box.run(f"pkill -{sign} -f '^[^ ]*python[^ ]* .*bin/provision run'")
    for _ in range(120):
        if box.run("pgrep cc1plus; pgrep -f ansible-playbook", check=False).stdout == "":
            break
        time.sleep(0.5)
    else:
        pytest.fail(f"the compilers went on after SIG{sign}")
    box.run("! test -e /opt/mrtrix3")


def build_with_a_kill(box: Box) -> None:
    """Build, interrupted in the middle; go on in the same tree; and, killed, on a machine that has only the store."""
    begin_build(box)
    stop_build(box, "INT")
    begin_build(box, "--store /srv/drive")
    # Counted in this order: what is begun meanwhile on a slow machine must not look as if it were done again.
    announced = steps_done(box)
    objects = int(box.run(f"find {TREE}/tmp -name '*.o' | wc -l").stdout)
    wait_for_piece(box)
    stop_build(box, "KILL")
    box.write("/srv/steps", f"{announced} {objects} ")
    kept = int(box.run(f"/root/project/.venv/bin/python -c '{COUNT_KEPT}'").stdout)
    box.run("rm -r ~/.cache/provision")
    result = provision(box, f"{BUILD} --store /srv/drive".removeprefix("provision "))
    assert result["hosts"]["localhost"]["mrtrix3"]["origin"] == "source"
    total = int(box.run(f"find {TREE}/tmp -name '*.o' | wc -l").stdout)
    box.run(f"echo {kept} {total} {steps_done(box)} >> /srv/steps")


def wait_for_piece(box: Box) -> None:
    """Return once the store has another piece of the unfinished build."""
    count = "ls /srv/drive/unfinished/*/*.tar.zst 2> /dev/null | wc -l"
    before, end = box.run(count).stdout, time.monotonic() + 200
    while box.run(count).stdout == before:
        assert time.monotonic() < end, box.read("/tmp/out")
        time.sleep(0.5)


def built_in(machines: Machines) -> Path:
    """Return bookworm with a few commands built from source, in a build that was interrupted, killed and gone on with.

    It is in /opt/mrtrix3, and packed in the store /srv/drive.
    """
    made_by = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return machines.layer(with_compiler(machines), "built", build_with_a_kill, key=[BUILD, made_by, product()])
