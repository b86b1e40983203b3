"""What is wrong with a machine, its users and the servers around it, and what is to come of each: tables."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import re
import shlex
import signal
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from fault_kills import BUILD, DEPS, PLAYBOOK, REMOVE, RESTORE, SERVER, STOP, ended_well
from fault_machine import KEY, NEW, PROVISION, STORE, Done, Machine, World

CONVERGES, REFUSED = "converges", "is refused in a sentence"
EITHER = (CONVERGES, REFUSED)
HASH = "0" * 64
EVE = "setpriv --reuid=eve --regid=eve --init-groups env HOME=/home/eve USER=eve "
OWN = f"provision run mrtrix3 --store {STORE} --prefix /home/eve/m --link-dir none --json"


@dataclasses.dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes
    ----------
    name : str
        What is wrong.
    prepare : str
        Lines that root runs before.
    command : str
        What is run then.
    expect : tuple of str
        What may come of it.
    holds : str
        Lines that must succeed afterwards: what root sees.
    mend : str
        Lines that take the fault away; the command must converge then, and once more without a change.
    limit : float
        Seconds that the command may take.
    says : str
        A pattern that what it prints must have.
    """

    name: str
    prepare: str = ""
    command: str = RESTORE
    expect: tuple[str, ...] = (CONVERGES,)
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cwd: str | None = None
    holds: str = ""
    mend: str = ""
    limit: float = 180
    says: str = ""
    start: str = "bare"
    short: bool = False

    def verdict(self, world: World) -> tuple[str, list[str], int]:
        with world.machine(self.start) as machine:
            machine.sh(self.prepare or "true")
            before = machine.signature("tmp/*")
            done = machine.run(self.command, env=self.env, cwd=self.cwd, limit=self.limit)
            if done.code == -1:  # what a command leaves that the harness has killed says nothing
                return self.name, [f"not done after {self.limit:g} s"], done.tracebacks
            wrong = self._wrong(done)
            if half := machine.unwhole():
                wrong.append(half)
            if (left := machine.wait_for_end(10)) and "sleep" not in left[0]:
                wrong.append(f"left running: {left[0]}")
            new = {name for name, *_ in machine.signature("tmp/*")} - {name for name, *_ in before}
            new -= {name for name in new if name.startswith(".provision-")}  # where the lock is, as /run/provision
            wrong += [f"left in /tmp: {', '.join(sorted(new))}"] if new else []
            wrong += held(machine, self.holds)
            seen = done.tracebacks
            if self.mend:
                machine.sh(self.mend)
                again = machine.run(self.command)
                wrong += [f"mended: {again.short()}"] if again.code else []
                seen += again.tracebacks
            return self.name, wrong, seen

    def _wrong(self, done: Done) -> list[str]:
        wrong = ended_well(done, (0, 1, 2))
        came = CONVERGES if done.code == 0 else REFUSED
        if not wrong and came not in self.expect:
            wrong.append(f"it {came}: {done.short()}")
        if not wrong and done.code and len(re.findall(r"[.!?](?:\s|$)", done.message)) > 3:
            wrong.append(f"more than a sentence: {done.message[:300]}")
        if self.says and not re.search(self.says, done.out + done.err, re.I):
            wrong.append(f"it does not say {self.says!r}: {done.short()}")
        return wrong


def held(machine: Machine, lines: str) -> list[str]:
    """Return what does not hold of some lines that must each succeed."""
    wrong = []
    for line in filter(None, map(str.strip, lines.splitlines())):
        done = machine.box.run(line, cwd="/", check=False)
        if done.returncode:
            wrong.append(f"this does not hold: {line} {(done.stdout + done.stderr).strip()[:200]}")
    return wrong


def environment(**variables: str) -> dict:
    return {"name": " ".join(f"{name}={value}" for name, value in variables.items()), "env": variables}


def tmpfs(path: str, options: str) -> str:
    return f"mkdir -p {path}; mount -t tmpfs -o {options} tmpfs {path}"


def restore_to(prefix: str) -> str:
    return f"provision run mrtrix3 --store {STORE} --link-dir none --prefix {shlex.quote(prefix)} --json"


# The boxes of the tests leave out what these cases look at.
WITH_DOCS = "rm -f /etc/dpkg/dpkg.cfg.d/small"
WORKS = "setpriv --reuid=eve --regid=eve --clear-groups mrinfo -version"
NO_TEMPLATE = "! find / -xdev -name 'pwned*' 2> /dev/null | grep ."
ODD = (
    "a b",
    "it's",
    'say "so"',
    "{{ 1 + 1 }}",
    "{% if x %}",
    "100%",
    "two\nlines",
    "gehirn-ü-脳",
    "x" * 210,
    "$(touch pwned)",
    "back\\slash",
    "-dash",
    "a;touch pwned",
    "*",
    "#hash",
    "tab\there",
    "a:b",
    "~tilde",
    "[list]",
    "{brace}",
)
LONG = "/srv/" + "t" * 100

# --- The machine ------------------------------------------------------------------------------------------------------

HOMES = (
    Fault("no home", env={"HOME": "/nonexistent"}),
    Fault("home is /", env={"HOME": "/"}),
    Fault("home is read-only", tmpfs("/srv/ro", "ro"), env={"HOME": "/srv/ro"}, short=True),
    Fault(
        "home is full",
        tmpfs("/srv/full", "size=16k") + "; dd if=/dev/zero of=/srv/full/x 2> /dev/null || :",
        env={"HOME": "/srv/full"},
    ),
    Fault("home is a file", "touch /srv/file", env={"HOME": "/srv/file"}),
    Fault("home is relative", env={"HOME": "home"}, expect=EITHER),
    Fault("another user's home", command=f"{EVE}HOME=/root {OWN}"),  # as sudo -E does: their own is taken
    Fault("a user without a home that is there", command=f"{EVE}HOME=/nonexistent {OWN}", expect=EITHER),
    Fault(
        "logs of root's in a user's home",
        "mkdir -p /home/eve/.local/state/provision/logs; chown eve: "
        "/home/eve/.local "
        "/home/eve/.local/state /home/eve/.local/state/provision",
        command=f"{EVE}{OWN}",
    ),
    Fault(
        "notes of root's in a user's home",
        "mkdir -p /home/eve/.local/state/provision/logs; chown eve: /home/eve/.local",
        command=f"{EVE}{OWN}",
        expect=(REFUSED,),
    ),
    Fault(
        "no entry in passwd",
        "mkdir /srv/nobody; chown 12345:12345 /srv/nobody",
        command="setpriv --reuid=12345 "
        f"--regid=12345 --clear-groups env -u USER -u LOGNAME HOME=/srv/nobody "
        f"provision run mrtrix3 --store {STORE} --json",
    ),
    Fault(
        "no entry in passwd and no HOME",
        command="setpriv --reuid=12345 --regid=12345 --clear-groups "
        f"env -u HOME -u USER -u LOGNAME provision run mrtrix3 --store {STORE} --json",
        expect=(REFUSED,),
    ),
)
TEMPORARY = (
    Fault("TMPDIR missing", env={"TMPDIR": "/nonexistent"}),
    Fault("TMPDIR noexec", tmpfs("/srv/noexec", "noexec,mode=1777"), env={"TMPDIR": "/srv/noexec"}, short=True),
    Fault("TMPDIR read-only", tmpfs("/srv/ro", "ro"), env={"TMPDIR": "/srv/ro"}),
    Fault("TMPDIR of 100 letters", f"mkdir {LONG}", env={"TMPDIR": LONG}),
    Fault("TMPDIR of 400 letters", f"mkdir -p {LONG * 4}", env={"TMPDIR": LONG * 4}),
    Fault(
        "TMPDIR full",
        tmpfs("/srv/full", "size=16k") + "; dd if=/dev/zero of=/srv/full/x 2> /dev/null || :",
        env={"TMPDIR": "/srv/full"},
    ),
    Fault("TMPDIR almost full", tmpfs("/srv/full", "size=64k"), env={"TMPDIR": "/srv/full"}, expect=EITHER),
    Fault("TMPDIR with a space", "mkdir '/srv/a b'", env={"TMPDIR": "/srv/a b"}),
    Fault("TMPDIR with braces", "mkdir '/srv/{{ 1 }}'", env={"TMPDIR": "/srv/{{ 1 }}"}),
    Fault("TMPDIR relative", env={"TMPDIR": "tmp"}, expect=EITHER),
    Fault("/tmp noexec", "mount -t tmpfs -o noexec,mode=1777 tmpfs /tmp"),
    Fault(
        "/tmp full",
        "mount -t tmpfs -o size=16k,mode=1777 tmpfs /tmp; dd if=/dev/zero of=/tmp/x 2> /dev/null || :",
        expect=EITHER,
    ),
    Fault("/tmp for root alone", "chmod 700 /tmp", command=f"{EVE}{OWN}", expect=EITHER),
    Fault("no /tmp", "rmdir /tmp", expect=EITHER),
    Fault(
        "prefix noexec",
        tmpfs("/srv/noexec", "noexec"),
        command=restore_to("/srv/noexec/m"),
        expect=(REFUSED,),
        says="noexec",
    ),
)
UMASKS = (
    *(
        Fault(
            f"umask {mask}",
            command=f"umask {mask}; exec {RESTORE}",
            holds=f"{WORKS}\n! find /opt/mrtrix3 /var/lib/provision ! -type l -perm /022 | grep .",
            short=mask == "077",
        )
        for mask in ("000", "027", "077")
    ),
    Fault(
        "umask 000, a server",
        command=f"umask 000; exec {SERVER}",
        holds="! find /var/lib/provision -perm /022 | grep .",
    ),
    Fault(
        "umask 077, packages",
        WITH_DOCS,
        command=f"umask 077; exec {DEPS}",
        holds="setpriv --reuid=eve --regid=eve --clear-groups cat /usr/share/doc/libtiff6/copyright > /dev/null",
    ),
    Fault("umask 077, a build", command=f"umask 077; exec {BUILD}", holds=WORKS),
    Fault("umask 077, a playbook", command=f"umask 077; {PLAYBOOK}", holds=WORKS),
)
FULL = (
    tuple(
        Fault(
            f"{size} for the prefix",
            tmpfs("/opt/small", f"size={size}"),
            restore_to("/opt/small/m"),
            (REFUSED,),
            holds="! ls -A /opt/small | grep .",
            mend="umount /opt/small",
            short=size == "1m",
        )
        for size in ("4k", "1m", "3m", "3600k")
    )
    + tuple(
        Fault(
            f"{size} for the notes",
            tmpfs("/var/lib/provision", f"mode=0755,{size}"),
            expect=EITHER,
            mend="umount /var/lib/provision",
        )
        for size in ("size=4k", "nr_inodes=2", "nr_inodes=3", "size=8k")
    )
    + tuple(
        Fault(
            f"{size} for /tmp", f"mount -t tmpfs -o mode=1777,size={size} tmpfs /tmp", expect=EITHER, mend="umount /tmp"
        )
        for size in ("40k", "200k", "1m")
    )
    + (
        Fault("1 MB for a store", tmpfs("/srv/new", "size=1m"), BUILD, says="full"),
        Fault(
            "a full disk under dpkg",
            f"{WITH_DOCS}; {tmpfs('/usr/share/doc', 'size=40k')}",
            DEPS,
            (REFUSED,),
            mend="umount /usr/share/doc",
        ),
        Fault(
            "a full disk under dpkg, later",
            f"{WITH_DOCS}; {tmpfs('/usr/share/doc', 'size=100k')}",
            DEPS,
            (REFUSED,),
            mend="umount /usr/share/doc",
        ),
        Fault(
            "a full disk under dpkg's notes",
            "cp -a /var/lib/dpkg /srv/dpkg; size=$(du -sk /srv/dpkg | cut -f 1); mount "
            "-t "
            "tmpfs -o size=$((size + 600))k tmpfs /var/lib/dpkg; cp -a /srv/dpkg/. /var/lib/dpkg",
            DEPS,
            EITHER,
            mend="mount -o remount,size=100m /var/lib/dpkg",
        ),
        Fault(
            "a full disk for packages", tmpfs("/var/cache/apt", "size=16k"), DEPS, EITHER, mend="umount /var/cache/apt"
        ),
    )
)
HELD = (
    'python3 -c \'import fcntl, time; f = open("{}", "w"); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep({})\' hold '
    "> /dev/null 2>&1 & sleep 0.3"
)
DPKG = (
    Fault(
        "a package that is unpacked",
        "dpkg --unpack /srv/debs/fake-held_*.deb > /dev/null",
        DEPS,
        holds=f"! grep fake-held /var/lib/provision/deps.json\n{PROVISION} remove --yes > /dev/null\n"
        "dpkg-query -W -f '${db:Status-Abbrev}' fake-held | grep ^i",
        short=True,
    ),
    Fault(
        "a package that cannot be configured",
        "touch /srv/break-packages; dpkg -i /srv/debs/fake-broken_*.deb > /dev/null 2>&1 || :",
        DEPS,
        EITHER,
        holds="! grep fake-broken /var/lib/provision/deps.json",
        mend="rm /srv/break-packages",
    ),
    Fault(
        "dpkg's journal", "sed -n '/^Package: adduser$/,/^$/p' /var/lib/dpkg/status > /var/lib/dpkg/updates/0001", DEPS
    ),
    Fault("dpkg's journal is empty", ": > /var/lib/dpkg/updates/0000", DEPS),
    Fault(
        "a held package",
        "dpkg -i /srv/debs/fake-held_*.deb > /dev/null; apt-mark -qq hold fake-held",
        DEPS,
        holds=f"{PROVISION} remove --yes > /dev/null\ndpkg-query -W -f '${{db:Status-Abbrev}}' fake-held | grep ^h",
    ),
    Fault(
        "one of ours held later",
        f"{PROVISION} run deps --groups run > /dev/null 2>&1; apt-mark -qq hold libtiff6",
        REMOVE,
        EITHER,
    ),
    Fault("dpkg's lock is held for a time", HELD.format("/var/lib/dpkg/lock-frontend", 6), DEPS),
    Fault(
        "dpkg's lock is held",
        HELD.format("/var/lib/dpkg/lock-frontend", 600),
        f"{DEPS} --lock-timeout 3",
        (REFUSED,),
        limit=120,
    ),
    Fault("apt's lists are locked", HELD.format("/var/lib/apt/lists/lock", 6), DEPS),
    Fault("a source that is gone", "echo 'deb file:/srv/nothing ./' > /etc/apt/sources.list.d/third.list", DEPS),
    Fault(
        "a source that is gone, and no lists",
        "echo 'deb file:/srv/nothing ./' > /etc/apt/sources.list.d/third.list; rm -rf /var/lib/apt/lists/*",
        DEPS,
    ),
    Fault(
        "a source that is no source",
        "echo 'deb [oops' > /etc/apt/sources.list.d/third.list",
        DEPS,
        (REFUSED,),
        says="third.list|malformed",
    ),
    Fault("no lists", "rm -rf /var/lib/apt/lists", DEPS),
    Fault("no sources", "rm /etc/apt/sources.list; rm -rf /var/lib/apt/lists", DEPS, (REFUSED,)),
    Fault(
        "dpkg's status is cut off",
        "head -c 30000 /var/lib/dpkg/status > /srv/s; cp /srv/s /var/lib/dpkg/status",
        DEPS,
        (REFUSED,),
    ),
    Fault(
        "no package can be configured",
        "printf '#!/bin/sh\\nexit 1\\n' > /usr/sbin/policy-rc.d; ln -sf /bin/false /usr/sbin/ldconfig",
        DEPS,
        EITHER,
    ),
)
FAKETIME = "/srv/faketime/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
CLOCK = tuple(
    Fault(
        f"the clock is {shift} off",
        command=f"export LD_PRELOAD={FAKETIME} FAKETIME={shift}; exec {command}",
        mend="true",
        limit=120,
    )
    for shift in ("-365d", "+365d")
    for command in (RESTORE, DEPS, SERVER)
)
PATHS = (
    tuple(
        Fault(
            f"prefix {name[:20]!r}",
            "mkdir /srv/odd",
            restore_to(f"/srv/odd/{name}"),
            EITHER,
            cwd="/srv/odd",
            holds=NO_TEMPLATE,
            short=name == "{{ 1 + 1 }}",
        )
        for name in ODD
    )
    + tuple(
        Fault(
            f"working folder {name[:20]!r}",
            f"mkdir -p {shlex.quote('/srv/odd/' + name)}",
            f"provision run mrtrix3 --store y --origin auto --version {NEW} --check --json",
            EITHER,
            cwd=f"/srv/odd/{name}",
            holds=NO_TEMPLATE,
            short="pipe" in name,
        )
        for name in (*ODD[:10], "{{ lookup('pipe', 'touch pwned') }}")
    )
    + tuple(
        Fault(
            f"a template in --{option}",
            command=f"{RESTORE} --check --{option} " + shlex.quote("{{ lookup('pipe', 'touch /srv/pwned') }}"),
            expect=EITHER,
            holds=NO_TEMPLATE,
        )
        for option in ("version", "prefix", "link-dir", "commands", "archive", "repo", "store")
    )
    + tuple(
        Fault(
            f"a clone in {name[:20]!r}",
            f"mkdir -p {shlex.quote('/srv/' + name)}; cp -a /root/project/. "
            f"{shlex.quote('/srv/' + name)}; rm -rf {shlex.quote('/srv/' + name + '/.venv')}",
            f"/root/project/.venv/bin/python -m provision run mrtrix3 --store {STORE} --json",
            EITHER if "{{" in name else (CONVERGES,),
            cwd=f"/srv/{name}",
        )
        for name in ("a b", "it's", "{{ 1 }}", "100%", "ü", "x" * 210)
    )
    + tuple(
        Fault(
            f"an environment in {name[:20]!r}",
            f"cp -a /root/project/.venv {shlex.quote('/srv/' + name)}",
            f"{shlex.quote('/srv/' + name)}/bin/python -m provision run mrtrix3 --store {STORE} --json",
            cwd="/root/project",
            short=name == "a b",
        )
        for name in ("a b", "it's", "ü", "x" * 230)
    )
    + (
        Fault(
            "working folder deleted",
            "",
            f"mkdir /srv/gone; cd /srv/gone; rmdir /srv/gone; exec {RESTORE}",
            (REFUSED,),
            short=True,
        ),
        Fault("working folder of everybody", "mkdir -m 777 /srv/all", cwd="/srv/all"),
        Fault("a clone of everybody", "chmod 777 /root/project", cwd="/root/project"),
        Fault(
            "a clone of everybody, by playbook", "chmod 777 /root/project", f"env -u ANSIBLE_CONFIG true; {PLAYBOOK}"
        ),
        Fault(
            "a settings file of Ansible's where one is",
            "mkdir /srv/cfg; printf '[defaults]\\nroles_path=/nowhere\\n"
            "strategy=nothing\\n' > /srv/cfg/ansible.cfg; cp /srv/cfg/ansible.cfg /root/.ansible.cfg",
            cwd="/srv/cfg",
        ),
    )
)
STREAMS = (
    Fault("stdin closed", command=f"exec {RESTORE} <&-", short=True),
    Fault("stdout closed", command="exec " + RESTORE.replace(" --json", " >&-"), expect=EITHER),
    Fault("stderr closed", command=f"exec {RESTORE} 2>&-"),
    Fault("all three closed", command="exec " + RESTORE.replace(" --json", " <&- >&- 2>&-"), expect=EITHER),
    Fault("stdout is full", command="exec " + RESTORE.replace(" --json", " > /dev/full"), expect=EITHER),
    Fault("stderr is full", command=f"exec {RESTORE} 2> /dev/full"),
    Fault("64 descriptors", command=f"ulimit -n 64; exec {RESTORE}", expect=EITHER),
    Fault("files of 1 MB at most", command=f"ulimit -f 1024; exec {RESTORE}", expect=EITHER),
    Fault(
        "SIGHUP ignored, and sent",
        command=f"trap '' HUP; {PROVISION} run mrtrix3 --store {STORE} > /srv/x.log 2>&1 "
        "& "
        "sleep 1.5; kill -HUP $!; wait $!",
        holds=WORKS,
    ),
    Fault(
        "SIGINT ignored, and sent",
        command=f"trap '' INT; {PROVISION} run mrtrix3 --store {STORE} > /srv/x.log 2>&1 "
        "& "
        "sleep 1.5; kill -INT $!; wait $!",
        holds=WORKS,
    ),
    Fault("SIGCHLD ignored", command=f"trap '' CHLD; exec {RESTORE}"),
    Fault("SIGPIPE ignored", command=f"trap '' PIPE; exec {RESTORE}"),
)
OF_ANSIBLE = {
    "ASK_PASS": "1", "BECOME_ASK_PASS": "1", "BECOME": "1", "RUN_TAGS": "x", "SKIP_TAGS": "all",
    "ROLES_PATH": "/nowhere",
    "ACTION_PLUGINS": "/nowhere", "LIBRARY": "/nowhere", "STDOUT_CALLBACK": "yaml", "STRATEGY": "mitogen_linear",
    "VAULT_PASSWORD_FILE": "/gone", "INVENTORY_ENABLED": "ini", "CHECK_MODE_MARKERS": "1", "HASH_BEHAVIOUR": "merge",
    "JINJA2_NATIVE": "1", "FORCE_COLOR": "1", "DEBUG": "1", "VERBOSITY": "3", "KEEP_REMOTE_FILES": "1", "FORKS": "junk",
    "GATHERING": "smart", "TRANSPORT": "paramiko", "CALLBACKS_ENABLED": "profile_tasks,nothing",
    "ANY_ERRORS_FATAL": "1",
    "DISPLAY_SKIPPED_HOSTS": "0", "LOG_PATH": "/nowhere/log", "ERROR_ON_UNDEFINED_VARS": "0",
    "PYTHON_INTERPRETER": "/gone",
    "MODULE_UTILS": "/nowhere", "FILTER_PLUGINS": "/nowhere", "COLLECTIONS_PATH": "/nowhere", "REMOTE_USER": "nobody",
    "INVENTORY": "/gone", "LIMIT": "nobody", "TASK_TIMEOUT": "1", "BECOME_METHOD": "su", "BECOME_EXE": "/gone",
    "TMPDIR": "x",
}  # fmt: skip
VARIABLES = (
    *({f"ANSIBLE_{name}": value} for name, value in OF_ANSIBLE.items()),
    {"PYTHONWARNINGS": "error"}, {"PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONOPTIMIZE": "2"},
    {"PYTHONUNBUFFERED": "1"}, {"PYTHONPATH": "/nowhere"}, {"PYTHONSAFEPATH": "1"}, {"PYTHONSTARTUP": "/gone"},
    {"PYTHONDEVMODE": "1"}, {"LD_PRELOAD": "/gone.so"}, {"LD_LIBRARY_PATH": "/nowhere"}, {"LANG": "C"},
    {"LC_ALL": "xx"}, {"LC_ALL": "POSIX"}, {"LANG": "de_DE.ISO-8859-1"}, {"PATH": "/usr/bin:/bin"},
    {"DISPLAY": ":junk"}, {"TERM": "nothing"}, {"COLUMNS": "0"}, {"LINES": "junk"}, {"TZ": "Mars/Base"},
    {"BASH_ENV": "/gone"},
    {"ENV": "/gone"}, {"CDPATH": "/srv"}, {"SHELL": "/gone"}, {"XDG_STATE_HOME": "state"},
    {"XDG_CACHE_HOME": "/nonexistent/x"},
    {"HOME": ""}, {"USER": ""}, {"MAKEFLAGS": "-j junk"}, {"http_proxy": "http://127.0.0.1:9"}, {"EDITOR": "/gone"},
    {"POSIXLY_CORRECT": "1"}, {"NO_COLOR": "1"}, {"VIRTUAL_ENV": "/gone"}, {"SUDO_USER": "eve"}, {"SUDO_UID": "1000"},
    {"PYTHONHASHSEED": "0"}, {"PYTHONDONTWRITEBYTECODE": "1"}, {"PYTHONNOUSERSITE": "1"}, {"TAR_OPTIONS": "--junk"},
)  # fmt: skip
ENVIRONMENT = (
    tuple(Fault(**environment(**pair), holds=WORKS) for pair in VARIABLES)
    + tuple(
        Fault(**environment(**pair), command=command, expect=expect)
        for pair, command, expect in (
            ({"GIT_DIR": "/gone"}, BUILD, (CONVERGES,)),
            ({"GIT_CONFIG_COUNT": "junk"}, BUILD, EITHER),
            ({"GIT_SSH_COMMAND": "false"}, BUILD, (CONVERGES,)),
            ({"CFLAGS": "-m -fPIC"}, BUILD, EITHER),
            ({"APT_CONFIG": "/gone"}, DEPS, EITHER),
            ({"DEBIAN_FRONTEND": "readline"}, DEPS, (CONVERGES,)),
            ({"DPKG_ROOT": "/nowhere"}, DEPS, EITHER),
            ({"http_proxy": "http://127.0.0.1:9"}, DEPS, (CONVERGES,)),
            ({"LC_ALL": "xx"}, DEPS, (CONVERGES,)),
            ({"LANG": "C"}, SERVER, (CONVERGES,)),
        )
    )
    + tuple(
        Fault(
            f"{name}={value} and ./bootstrap", command=f"./bootstrap {RESTORE}", env={name: value}, cwd="/root/project"
        )
        for name, value in (("PYTHONHOME", "/gone"), ("PYTHONPATH", "/srv/junk"), ("LC_ALL", "xx"), ("CDPATH", "/srv"))
    )
)

# --- Another user -----------------------------------------------------------------------------------------------------

MALLORY = "setpriv --reuid=mallory --regid=mallory --init-groups "
HOLD = """cat > /srv/hold.py <<'END'
import fcntl, os, sys, time
kept = []
for top in sys.argv[1:]:
    for folder, _, names in os.walk(top):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            try:
                kept.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
                fcntl.flock(kept[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                pass
time.sleep(600)
END
setpriv --reuid=mallory --regid=mallory --init-groups \\
    python3 /srv/hold.py /var/lib/provision /srv/store /srv/new /tmp /opt /root/.cache > /dev/null 2>&1 &
sleep 0.5"""
FIRST = f"{PROVISION} run mrtrix3 --version 3.0.7 --store {STORE} > /dev/null 2>&1\n"
SERVED = f"{PROVISION} run sshd --authorized-keys {KEY} > /dev/null 2>&1\n"
USERS = (
    Fault("locks, and a run", FIRST + HOLD, short=True),
    Fault("locks, and a removal", FIRST + HOLD, REMOVE),
    Fault("locks, and stop", SERVED + HOLD, STOP),
    Fault("locks, and a server", SERVED + HOLD, "provision run sshd --port 2229 --with-password --json"),
    Fault("locks, and a build", "mkdir -p /srv/new; touch /srv/new/.lock\n" + HOLD, BUILD, limit=120),
    Fault(
        "locks made before",
        "mkdir -p /var/lib/provision; for name in mrtrix3.json.lock lock .lock; do : > "
        "/var/lib/provision/$name; chown mallory: /var/lib/provision/$name; done\n" + HOLD,
        expect=EITHER,
    ),
    Fault(
        "a folder of another's in /tmp",
        f"{MALLORY} sh -c 'mkdir /tmp/provision-abc; touch /tmp/provision-abc/alive /tmp/provision-abc/thesis'",
        holds="test -e /tmp/provision-abc/thesis",
    ),
    Fault(
        "a link to a folder",
        f"mkdir /root/thesis; touch /root/thesis/alive; {MALLORY} ln -s /root/thesis /tmp/provision-abc",
        holds="test -e /root/thesis/alive\ntest -e /tmp/provision-abc",
    ),
    Fault(
        "a link to a file",
        f"echo precious > /root/thesis; {MALLORY} sh -c 'mkdir /tmp/provision-abc; ln -s "
        "/root/thesis /tmp/"
        "provision-abc/alive'",
        holds="grep precious /root/thesis\ntest -d /tmp/provision-abc",
    ),
    Fault("a pipe that nobody reads", f"{MALLORY} sh -c 'mkdir /tmp/provision-abc; mkfifo /tmp/provision-abc/alive'"),
    Fault(
        "a thousand folders",
        f"{MALLORY} sh -c 'for n in $(seq 1000); do mkdir /tmp/provision-$n; touch /tmp/provision-$n/alive; done'",
        holds="test $(ls -d /tmp/provision-* | wc -l) = 1000",
    ),
    Fault(
        "a store of another's",
        "cp -r /srv/planted /home/mallory/store; chown -R mallory: /home/mallory/store",
        "provision run mrtrix3 --store /home/mallory/store --json",
        EITHER,
        holds="! ls /srv/pwned-0",
        short=True,
    ),
    Fault(
        "a store in a folder of another's",
        "mkdir /home/mallory/x; cp -r /srv/planted /home/mallory/x/store; chown mallory: /home/mallory/x",
        "provision run mrtrix3 --store /home/mallory/x/store --json",
        EITHER,
    ),
    Fault(
        "an archive of another's in a store of everybody",
        "mkdir -m 1777 /srv/all; cp /srv/planted/* /srv/all; chown mallory: /srv/all/*",
        "provision run mrtrix3 --store /srv/all --json",
        EITHER,
        holds="! ls /srv/pwned-0",
    ),
    Fault(
        "a lock that leads to a new file",
        "mkdir /srv/new; ln -s /etc/pwned /srv/new/.lock; chown -h mallory: /srv/new /srv/new/.lock",
        BUILD,
        EITHER,
        holds="! ls /etc/pwned",
        limit=120,
    ),
    Fault(
        "a lock that leads to a file",
        "mkdir /srv/new; echo precious > /root/p; ln -s /root/p /srv/new/.lock; chown "
        "-h mallory: "
        "/srv/new /srv/new/.lock",
        BUILD,
        EITHER,
        holds="grep precious /root/p",
        limit=120,
    ),
    Fault(
        "a prefix that is a link",
        "mkdir -m 1777 /srv/all; ln -s /etc /srv/all/m; chown -h mallory: /srv/all/m",
        restore_to("/srv/all/m"),
        EITHER,
        holds="test -e /etc/passwd\n! ls /etc/bin",
    ),
    Fault(
        "logs that lead elsewhere",
        "mkdir -p /home/eve/.local/state/provision /root/private; ln -s /root/private "
        "/home/eve/.local/state/provision/logs; chown -hR eve: /home/eve/.local",
        f"{EVE}{OWN}",
        EITHER,
        holds="! ls -A /root/private | grep .",
    ),
    Fault(
        "what eve may read of root's",
        command="provision run sshd --with-password --json",
        holds="password=$(sed -n '1p' /var/lib/provision/sshd/password) && test -n \"$password\" && ! setpriv "
        "--reuid=eve "
        '--regid=eve --clear-groups grep -rsF "$password" /var/lib/provision /tmp /root '
        "/var/log /run",
    ),
)

# --- Servers ----------------------------------------------------------------------------------------------------------

SERVE = """cat > /srv/servers.py <<'END'
import socket, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        getattr(self, "send_" + self.path.strip("/").split("/")[0].split(".")[0], self.send_nothing)()
    def begin(self, code=200, **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
    def send_nothing(self): self.begin(404)
    def send_reset(self):
        self.begin(Content_Length=1000000); self.wfile.write(b"x" * 1000)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, *[0] * 7]))
        self.connection.close()
    def send_trickle(self):
        self.begin(Content_Length=1000000)
        while True:
            self.wfile.write(b"x"); self.wfile.flush(); time.sleep(3)
    def send_endless(self):
        self.begin()
        while True: self.wfile.write(b"x" * 1000000)
    def send_html(self): self.begin(Content_Type="text/html"); self.wfile.write(b"<html>Log in first</html>")
    def send_short(self): self.begin(Content_Length=1000000); self.wfile.write(b"x" * 1000)
    def send_mute(self): time.sleep(600)
    def send_loop(self): self.begin(302, Location="/loop/x")
    def send_file(self): self.begin(302, Location="file:///etc/shadow")
    def send_error(self, code=503, *_): self.begin(503)
    def send_header_bomb(self): self.begin(**{"X_" + str(n): "x" * 60000 for n in range(300)})
    def log_message(self, *_): pass

def mute(kind, port):
    with socket.socket(socket.AF_INET, kind) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            one.listen()
            kept = []
            while True: kept.append(one.accept())
        while True: one.recv(4096)

for kind, port in ((socket.SOCK_STREAM, 9418), (socket.SOCK_STREAM, 8001), (socket.SOCK_DGRAM, 53)):
    threading.Thread(target=mute, args=(kind, port), daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
END
echo 'nameserver 127.0.0.1' > /etc/resolv.conf
mkdir -p /root/.cache; mount -t tmpfs -o size=300m tmpfs /root/.cache
python3 /srv/servers.py > /dev/null 2>&1 &
sleep 0.7"""


def fetched(url: str) -> str:
    return f"provision run mrtrix3 --origin archive --archive {url} --archive-sha256 {HASH} --json"


def cloned(repo: str) -> str:
    return f"provision run mrtrix3 --origin source --repo {shlex.quote(repo)} --json"


STATED = {"endless": 90, "trickle": 150, "mute": 150}
ANSWERS = ("reset", "html", "short", "loop", "file", "nothing", "error", "header_bomb", *STATED)
SERVERS = (
    *(
        Fault(
            f"an archive's server: {what}",
            SERVE,
            fetched(f"http://127.0.0.1:8000/{what}.tar.gz"),
            (REFUSED,),
            limit=STATED.get(what, 60),
            holds="! ls -A /root/.cache/provision/archives | grep .",
            short=what in ("html", "loop"),
        )
        for what in ANSWERS
    ),
    Fault("an archive's server: nobody", SERVE, fetched("http://127.0.0.1:7/x.tar.gz"), (REFUSED,)),
    Fault("an archive's server: no name", SERVE, fetched("http://nowhere.example/x.tar.gz"), (REFUSED,), limit=90),
    Fault(
        "an archive's server: a mute proxy",
        SERVE,
        fetched("http://nowhere.example/x.tar.gz"),
        (REFUSED,),
        limit=150,
        env={"http_proxy": "http://127.0.0.1:8001"},
    ),
    Fault("an archive's address: ftp", SERVE, fetched("ftp://127.0.0.1:8001/x.tar.gz"), (REFUSED,), limit=150),
    Fault("a repository's server: mute git", SERVE, cloned("git://127.0.0.1/mrtrix3"), (REFUSED,), limit=90),
    Fault("a repository's server: mute http", SERVE, cloned("http://127.0.0.1:8001/mrtrix3.git"), (REFUSED,), limit=90),
    Fault("a repository's server: 404", SERVE, cloned("http://127.0.0.1:8000/mrtrix3.git"), (REFUSED,)),
    Fault("a repository's server: no name", SERVE, cloned("https://nowhere.example/mrtrix3.git"), (REFUSED,), limit=90),
    Fault("a repository's server: mute ssh", SERVE, cloned("ssh://git@127.0.0.1:8001/mrtrix3"), (REFUSED,), limit=90),
    Fault(
        "a repository that is an option", "", cloned("--upload-pack=touch /srv/pwned"), (REFUSED,), holds=NO_TEMPLATE
    ),
    Fault("a repository that is a program", "", cloned("ext::sh -c 'touch /srv/pwned'"), (REFUSED,), holds=NO_TEMPLATE),
    Fault(
        "apt's server: no name",
        SERVE + "\necho 'deb http://nowhere.example/debian x main' > /etc/apt/sources.list; "
        "rm -rf /var/lib/apt/lists/*",
        DEPS,
        (REFUSED,),
        limit=150,
    ),
    Fault(
        "apt's server: mute",
        SERVE + "\necho 'deb [trusted=yes] http://127.0.0.1:8001/debian x main' > "
        "/etc/apt/sources.list; "
        "rm -rf /var/lib/apt/lists/*",
        DEPS,
        (REFUSED,),
        limit=300,
    ),
    Fault(
        "apt's server: html",
        SERVE + "\necho 'deb [trusted=yes] http://127.0.0.1:8000/html x main' > "
        "/etc/apt/sources.list; "
        "rm -rf /var/lib/apt/lists/*",
        DEPS,
        (REFUSED,),
        limit=150,
    ),
)

# --- Secrets ----------------------------------------------------------------------------------------------------------

TOKEN_FILES = {"/root/token", "/var/lib/provision/ngrok/ngrok.yml", "/var/lib/provision/ngrok/redact.sed"}
PASSWORD_FILES = {"/var/lib/provision/sshd/password"}
TOPS = ("dev/shm", "etc", "home", "opt", "root", "run", "srv", "tmp", "usr/local", "var")


class Watch(threading.Thread):
    """Notes all that processes show of themselves while something goes on, and the files that have a secret in them."""

    def __init__(self, machine: Machine, secret: str, since: float) -> None:
        super().__init__(daemon=True)
        self._machine, self._secret, self._since = machine, secret, since
        self._over, self._shown, self.files = threading.Event(), set(), set()

    def run(self) -> None:
        looked = 0.0
        while not self._over.wait(0.01):
            if time.monotonic() > looked + 0.3:
                self.files.update(files_with(self._machine, self._secret, self._since))
                looked = time.monotonic()
            for pid in self._machine.processes():
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        self._shown.add(Path(f"/proc/{pid}/{name}").read_bytes())

    def shows(self, secret: str) -> list[str]:
        return [
            " ".join(shown.decode(errors="replace").split("\0"))[:100]
            for shown in self._shown
            if secret.encode() in shown
        ]

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def files_with(machine: Machine, secret: str, since: float) -> Iterator[tuple[str, int]]:
    """Give the files that were written since and have a secret in them, with their modes."""
    for top in TOPS:
        for folder, folders, names in os.walk(machine.root / top):
            folders[:] = [name for name in folders if name not in (".venv", "pypi", "pypi-more", "faketime")]
            for path in (Path(folder, name) for name in names):
                with contextlib.suppress(OSError):
                    status = path.lstat()
                    written = stat.S_ISREG(status.st_mode) and status.st_mtime > since
                    if written and secret.encode() in path.read_bytes():
                        yield "/" + str(path.relative_to(machine.root)), stat.S_IMODE(status.st_mode)


@dataclasses.dataclass(frozen=True)
class Secret:
    """A secret that is given or made, and how the run with it ends."""

    name: str
    what: str  # "token" or "password"
    ending: str  # "done", "refused", "interrupted", "killed", "provision killed"
    short: bool = False

    def verdict(self, world: World) -> tuple[str, list[str], int]:
        choice = random.Random(self.name)
        token = "".join(choice.choices("abcdefghijkmnpqrstuvwxyz23456789", k=40))
        with world.machine() as machine:
            since = time.time() - 1
            machine.sh(SERVED if self.what == "token" else "true")
            machine.box.write("/root/token", token + "\n", mode="600")
            machine.sh("touch /srv/refuse-token" if self.ending == "refused" else "true")
            give = "provision run ngrok --agent-path /srv/ngrok --json --authtoken < /root/token"
            with Watch(machine, token, since) as watch:
                running = machine.start(give if self.what == "token" else "provision run sshd --with-password --json")
                self._end(machine, running, choice)
                done = running.wait(60)
                early = self._problems(machine, watch, token, since, done)
            if self.ending.endswith("killed"):
                time.sleep(20)
                early = self._problems(machine, watch, token, since, done)
            return self.name, early, done.tracebacks

    def _end(self, machine: Machine, running, choice: random.Random) -> None:
        if self.ending in ("done", "refused"):
            return
        mark = "var/lib/provision/ngrok/ngrok.yml" if self.what == "token" else "var/lib/provision/sshd/password"
        until = time.monotonic() + (2.0 if choice.random() < 0.5 else 30)
        while time.monotonic() < until and not machine.signature(mark) and not running.ended():
            time.sleep(0.01)
        target = "everything" if self.ending == "killed" else "provision"
        for pid in machine.targets(target, choice):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT if self.ending == "interrupted" else signal.SIGKILL)

    def _problems(self, machine: Machine, watch: Watch, token: str, since: float, done: Done) -> list[str]:
        allowed = TOKEN_FILES if self.what == "token" else PASSWORD_FILES
        secret = token
        if self.what == "password":
            path = machine.root / "var/lib/provision/sshd/password"
            if not path.exists():  # it was ended before there was one
                return [f"others could read {path} for a time" for path, mode in watch.files if mode & 0o077]
            secret = path.read_text().strip()
        wrong = [f"a process shows it: {shown.replace(secret, 'SECRET')}" for shown in watch.shows(secret)]
        wrong += [f"others could read {path} for a time" for path, mode in watch.files if mode & 0o077]
        wrong += ["it was printed"] if secret in done.out + done.err else []
        for path, mode in files_with(machine, secret, since):
            if path not in allowed:
                wrong.append(f"it is in {path}")
            elif mode != 0o600:
                wrong.append(f"{path} has mode {mode:o}")
        if self.ending == "done" and done.code:
            wrong.append(done.short())
        return wrong


SECRETS = tuple(
    Secret(f"a {what}, {ending}{', again' * again}", what, ending, short=(what, ending) == ("token", "done"))
    for what in ("token", "password")
    for ending in ("done", "refused", "interrupted", "killed", "provision killed")
    for again in (range(3) if ending != "done" else range(1))
    if (what, ending) != ("password", "refused")
)

KINDS = {
    "machine": (*HOMES, *TEMPORARY, *UMASKS, *FULL, *DPKG, *CLOCK, *PATHS, *STREAMS, *ENVIRONMENT),
    "user": USERS,
    "servers": SERVERS,
    "secrets": SECRETS,
}
