"""What the role `sshd` promises, on fresh machines, with a real client.

Promises share a server, those that leave it as it is before those that break it and have put it right; where several
belong to one course of events, that is recorded once and each test looks at its part. But where they have to install
something, the machines have a loopback of their own.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from box import SUITES, Box, Machines
from layers import agree, provision, refused, with_ssh, with_ssh_client, with_systemd

KEYS = "run sshd --authorized-keys ~/.ssh/id_ed25519.pub"
PASSWORD = "run sshd"
STOPPED = "run sshd --state stopped"
ABSENT = "run sshd --state absent"
# Nothing of the client's own settings, no question, and only a host that is known.
SSH = (
    "ssh -F none -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/tmp/known -o ConnectTimeout=60 "
    "-o IdentitiesOnly=yes -o BatchMode={batch} -p {port} {user}@{host} {options}"
)
KNOCK = """
import socket, time
held = [socket.create_connection(("127.0.0.1", 2222)) for _ in range(200)]
print("up", flush=True)
time.sleep(60)
"""
# Runs a command, and from when there is a password until the end looks for it wherever others might; where a moment is
# named, the command is interrupted then as by Ctrl-C. Prints what was found where.
WATCH = """
import json, os, signal, stat, subprocess, sys, time
ours = "/var/lib/provision/sshd/"
moments = {
    "never": lambda: False,
    "password set": lambda: b'"after"' in read(ours + "password.json"),
    "server started": lambda: os.path.exists(ours + "sshd.pid"),
}
def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
def files():
    for top in "/etc /home /opt /root /run /srv /tmp /usr/local /var".split():
        for folder, folders, names in os.walk(top):
            folders[:] = [name for name in folders if name != ".venv"]
            yield from (os.path.join(folder, name) for name in names)
def search(thorough):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            if needle in read(f"/proc/{pid}/{name}"):
                found[name] = read(f"/proc/{pid}/cmdline").decode()
    # Reading all files takes the run's own time: now and then, and in the end. Processes are looked at all the while.
    for path in files() if thorough else ():
        try:
            about = os.lstat(path)
        except OSError:
            continue
        if stat.S_ISREG(about.st_mode) and about.st_ctime >= begun and needle in read(path):
            found[path] = f"{stat.S_IMODE(about.st_mode):o}"
begun, found, needle, passes, due = time.time() - 1, {}, b"", 0, moments[sys.argv[1]]
with open("/dev/shm/said", "wb") as said, open("/dev/shm/progress", "wb") as progress:
    process = subprocess.Popen(sys.argv[2:], stdout=said, stderr=progress, start_new_session=True)
while process.poll() is None:
    if due():
        os.killpg(process.pid, signal.SIGINT)
        due = moments["never"]
    needle = read(ours + "password").strip() or needle
    if needle:
        search(passes % 20 == 0)
        passes += 1
    time.sleep(0.02)
if needle:
    search(True)
    if needle in read("/dev/shm/said") + read("/dev/shm/progress"):
        found["output"] = ""
said = read("/dev/shm/said").decode()
print(json.dumps({"code": process.returncode, "passes": passes, "found": found, "said": said}))
"""
# In place of the server's program, to spoil one use of it.
SPOILT = """#!/bin/sh
case " $* " in *" {option} "*) {what} ;; esac
exec /usr/sbin/sshd "$@"
"""
LOOK = """
import sys, time
sys.path.insert(0, "/root/project")
from plugins.module_utils.provision import notes, system
from plugins.module_utils.provision.look import sshd
wanted = {**notes.read_state("sshd")["wanted"], "state": "started"}
begin = time.monotonic()
print(sshd.look_at(wanted, system.look_at_machine()).get("drift", "as wanted"))
print(time.monotonic() - begin)
"""
# Starts systemd as process 1 of namespaces in the box, below a control group of its own, and clears that up at the end.
BOOT = """
mount --make-rprivate /
mount -t cgroup2 cgroup2 /sys/fs/cgroup
group=/sys/fs/cgroup/provision-test-$(cat /proc/sys/kernel/random/uuid)
mkdir $group
sh -c 'echo $$ > '$group'/cgroup.procs
exec unshare --mount --pid --fork --kill-child --cgroup --mount-proc --propagation private bash -c "
    mount -t cgroup2 cgroup2 /sys/fs/cgroup; mount -t tmpfs tmpfs /run; mkdir /run/lock
    export container=box; exec /lib/systemd/systemd --system --unit=multi-user.target"'
find $group -depth -type d -exec rmdir {} +
"""
# What must be as before when the role has gone.
FOUND = (
    "grep ^root: /etc/shadow; dpkg-query -W\n"
    "find /etc/ssh /etc/profile.d /etc/pam.d /var/lib/provision "
    "/run/sshd ! -type d 2> /dev/null | sort; ls -d /etc/ssh /run/sshd; cat /etc/ssh/ssh_config"
)
# What a second run must leave as it is.
KEPT = "cat /etc/shadow; cd /var/lib/provision/sshd; sha256sum password* ssh_host* sshd.pid sshd_config"


class Served(NamedTuple):
    """A machine where the server runs, and what the role has reported of it."""

    box: Box
    suite: str
    report: dict
    shadow: str  # the line of root as it was before


@pytest.fixture(scope="module")
def served(machines: Machines) -> Iterator[Callable[[str, str], Served]]:
    """Give the one machine of a suite where a line has been run."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def serve(suite: str, line: str) -> Served:
            box = stack.enter_context(machines.box(with_ssh(machines, suite), offline=True))
            box.run("echo root:old-password | chpasswd; useradd --create-home --shell /bin/bash eve")
            shadow = box.run("chage -d 19000 root; grep ^root: /etc/shadow").stdout
            box.run("install -D -o eve ~/.ssh/id_ed25519.pub ~eve/.ssh/authorized_keys; chown eve ~eve/.ssh")
            return Served(box, suite, up(box, line), shadow)

        yield serve


@pytest.fixture(params=SUITES)
def keyed_on_each(request: pytest.FixtureRequest, served: Callable[[str, str], Served]) -> Served:
    return served(request.param, KEYS)


@pytest.fixture
def keyed(served: Callable[[str, str], Served]) -> Served:
    return served("trixie", KEYS)


@pytest.fixture
def with_password(served: Callable[[str, str], Served]) -> Served:
    return served("trixie", PASSWORD)


@pytest.fixture
def client(machines: Machines) -> Iterator[Box]:
    """A machine of its own with openssh-server and a client; nothing runs there yet."""
    with machines.box(with_ssh(machines, "trixie"), offline=True) as box:
        yield box


@pytest.fixture(scope="module")
def bare(machines: Machines) -> Iterator[Box]:
    """A machine with a client, without openssh-server and without any way to install it; tests leave it as it is."""
    with machines.box(with_ssh_client(machines, "trixie"), offline=True) as box:
        box.run("rm -rf /var/lib/apt/lists/*")
        box.run("mv /etc/apt/sources.list /etc/apt/kept; chmod 711 /root")
        box.add_user("eve", sudo=False)
        box.write("/etc/apt/apt.conf.d/90once", 'Acquire::Retries "0";\n')  # apt waits between its attempts
        yield box


def up(box: Box, line: str, **options) -> dict:
    """Run the role and return what it reports; the host is known to the client from then on."""
    report = provision(box, line, **options)["hosts"]["localhost"]["sshd"]
    box.write("/tmp/known", report["known_hosts"] + "\n")
    return report


def ssh(
    box: Box,
    report: dict,
    command: str,
    *,
    key: str = "~/.ssh/id_ed25519",
    user: str = "",
    options: str = "",
    login: str | None = None,
    **more,
):
    """Log in by key and run a command; return what came of it."""
    given = SSH.format(batch="yes", options=f"-i {key} {options}", **{**report, "user": user or report["user"]})
    return box.run(f"{given} {command}", check=False, user=login, **more)


def ssh_with_password(box: Box, report: dict, command: str, password: str, user: str = ""):
    options = "-o PreferredAuthentications=password,keyboard-interactive -o NumberOfPasswordPrompts=1"
    given = SSH.format(batch="no", options=options, **{**report, "user": user or report["user"]})
    return box.run(f"sshpass -f /dev/stdin {given} {command}", input=password + "\n", check=False)


def settings(box: Box) -> dict[str, str]:
    """Return what the server understands of its configuration, word by word."""
    said = box.run("/usr/sbin/sshd -T -f /var/lib/provision/sshd/sshd_config").stdout
    return dict(line.split(" ", 1) if " " in line else (line, "") for line in said.splitlines())


def pid_of(box: Box) -> int:
    return json.loads(box.read("/var/lib/provision/sshd/sshd.pid"))["pid"]


# --- Those with a key get in ------------------------------------------------------------------------------------------


def test_the_owner_of_the_key_gets_in_and_has_the_commands_in_every_kind_of_shell(keyed_on_each: Served) -> None:
    box, _, report, _ = keyed_on_each
    assert (report["user"], report["host"], report["port"]) == ("root", "127.0.0.1", 2222)
    assert ssh(box, report, "mrinfo -version").stdout == "== mrinfo 3.0.8 ==\n"
    assert ssh(box, report, "bash -lc 'mrinfo'").returncode == 0
    # As a person sees it: a terminal and a login shell.
    typed = ssh(box, report, "", options="-tt", input="mrinfo; shopt login_shell; tty; exit\n").stdout
    assert "== mrinfo 3.0.8 ==" in typed and "/dev/pts/" in typed and "login_shell    \ton" in typed
    assert (
        box.run("ssh-keygen -lf /var/lib/provision/sshd/ssh_host_ed25519_key.pub").stdout.split()[1]
        == (report["fingerprint"])
    )


def test_sixty_megabytes_go_each_way_unchanged(keyed: Served) -> None:
    box, _, report, _ = keyed
    box.run("head -c 60000000 /dev/urandom > /tmp/sent")
    assert ssh(box, report, "'cat > /tmp/there' < /tmp/sent").returncode == 0
    assert ssh(box, report, "'cat /tmp/there' > /tmp/back").returncode == 0
    box.run("cmp /tmp/sent /tmp/back; cmp /tmp/sent /tmp/there")
    copy = SSH.format(batch="yes", options="", **report).replace("ssh -F", "scp -F").replace("-p 2222", "-P 2222")
    copy = copy.replace("root@127.0.0.1", "-q -i ~/.ssh/id_ed25519 root@127.0.0.1:/tmp/there /tmp/copied")
    box.run(f"{copy}; cmp /tmp/sent /tmp/copied; rm /tmp/sent /tmp/there /tmp/back /tmp/copied")


def test_eight_sessions_at_once_carry_data_each_way_unchanged(keyed: Served) -> None:
    box, _, report, _ = keyed
    given = SSH.format(batch="yes", options="-i ~/.ssh/id_ed25519", **report)
    # They wait for each other, so that all eight are open before the first byte.
    box.run(f"""
        mkdir /tmp/eight && cd /tmp/eight
        for n in 1 2 3 4 5 6 7 8; do
            head -c 8000000 /dev/urandom > sent$n
            {given} "touch /tmp/eight/open$n; until [ -e /tmp/eight/go ]; do sleep 0.05; done; cat" \\
                < sent$n > back$n & pids="$pids $!"
        done
        until [ "$(ls open* 2> /dev/null | wc -l)" = 8 ]; do sleep 0.05; done
        touch go
        for pid in $pids; do wait $pid || exit; done
        for n in 1 2 3 4 5 6 7 8; do cmp sent$n back$n || exit; done
        rm -r /tmp/eight
    """)


def test_with_keys_nobody_gets_in_but_by_key(keyed_on_each: Served) -> None:
    box, _, report, _ = keyed_on_each
    assert "Permission denied (publickey)" in ssh(box, report, "true", key="~/.ssh/other").stderr
    assert "Permission denied (publickey)" in ssh_with_password(box, report, "true", "old-password").stderr
    assert ssh_with_password(box, report, "true", "").returncode != 0
    assert "Permission denied" in ssh(box, report, "true", user="eve").stderr
    box.run("! test -e /var/lib/provision/sshd/password")


def test_the_servers_settings_are_the_careful_ones(keyed_on_each: Served) -> None:
    found = settings(keyed_on_each.box)
    expected = {
        "port": "2222",
        "listenaddress": "127.0.0.1:2222",
        "allowusers": "root",
        "permitrootlogin": "without-password",
        "authenticationmethods": "publickey",
        "pubkeyauthentication": "yes",
        "passwordauthentication": "no",
        "kbdinteractiveauthentication": "no",
        "hostbasedauthentication": "no",
        "gssapiauthentication": "no",
        "permitemptypasswords": "no",
        "strictmodes": "yes",
        "maxauthtries": "6",
        "logingracetime": "30",
        "maxstartups": "300:30:600",
        "permituserenvironment": "no",
        "permittunnel": "no",
        "gatewayports": "no",
        "x11forwarding": "no",
        "hostkey": "/var/lib/provision/sshd/ssh_host_ed25519_key",
        "pidfile": "none",
        "authorizedkeysfile": "/var/lib/provision/sshd/authorized_keys",
        "usepam": "yes",
    }
    assert {name: found[name] for name in expected} == expected
    if keyed_on_each.suite == "trixie":
        assert found["persourcepenaltyexemptlist"] == "127.0.0.0/8,::1"


def test_two_hundred_that_never_log_in_do_not_keep_the_owner_out(keyed: Served) -> None:
    box, _, report, _ = keyed
    box.write("/tmp/knock.py", KNOCK)
    knocking = box.popen("python3 /tmp/knock.py")
    try:
        assert knocking.stdout.readline() == "up\n"
        assert [ssh(box, report, "true").returncode for _ in range(5)] == [0] * 5
    finally:
        knocking.kill()
        knocking.wait()


def test_one_who_fails_often_does_not_keep_the_owner_out(keyed_on_each: Served) -> None:
    box, _, report, _ = keyed_on_each
    for _ in range(12):
        assert ssh(box, report, "true", key="~/.ssh/other").returncode == 255
    assert ssh(box, report, "true").returncode == 0


def test_the_user_of_a_directory_gets_in_with_a_managed_file_of_keys_and_nobody_else_does(client: Box) -> None:
    box, line = client, "run sshd --authorized-keys /tmp/keys.pub --user jane@corp.example"
    box.run("(echo '# keys of the lab'; echo; cat ~/.ssh/id_ed25519.pub) > /tmp/keys.pub; mkdir -m 755 /home/jane")
    for number, name in enumerate(("jane@corp.example", "jane_corp.example")):
        box.run(f"echo '{name}:x:{3000 + number}:100::/home/jane:/bin/bash' >> /etc/passwd")
        box.run(f"echo '{name}:*:20000:0:99999:7:::' >> /etc/shadow")
    # What no look finds out beforehand, the login that is tried does.
    box.run("cp /etc/pam.d/sshd /tmp; sed -i '1i account required pam_deny.so' /etc/pam.d/sshd")
    error = refused(box, line)
    assert "PAM" in error["message"] and error["code"] == "login-refused"
    assert box.run("pgrep -x sshd; ls -A /var/lib/provision/sshd | grep trial", check=False).stdout == ""
    box.run("cp /tmp/sshd /etc/pam.d/sshd")
    report = up(box, line)
    assert ssh(box, report, "mrinfo").stdout == "== mrinfo 3.0.8 ==\n"
    for other in ("jane_corp.example", "root", "jane"):
        assert "Permission denied" in ssh(box, report, "true", user=other).stderr
    assert box.run("ls -A /var/lib/provision/sshd | grep trial", check=False).stdout == ""
    assert provision(box, line)["changed"] == 0
    box.run("touch /etc/nologin")
    assert "/etc/nologin" in box.run("./bootstrap provision status").stdout
    error = refused(box, line)
    assert "/etc/nologin" in error["message"] and error["code"] == "login-refused"


# --- A password, where it is wanted -----------------------------------------------------------------------------------


def test_without_a_key_a_random_password_lets_in_and_only_that(with_password: Served) -> None:
    box, _, report, _ = with_password
    password = box.read(report["password_file"]).strip()
    assert len(password) >= 32
    assert box.run("stat -c %a /var/lib/provision/sshd/password*").stdout.split() == ["600", "600"]
    assert ssh_with_password(box, report, "mrinfo", password).stdout == "== mrinfo 3.0.8 ==\n"
    for wrong in ("", "old-password", password[:-1]):
        assert "Permission denied" in ssh_with_password(box, report, "true", wrong).stderr
    assert "Permission denied (password)" in ssh(box, report, "true").stderr
    found = settings(box)
    assert (found["permitrootlogin"], found["authenticationmethods"]) == ("yes", "password")
    assert found["kbdinteractiveauthentication"] == "no"


def test_a_second_run_changes_nothing_and_keeps_key_and_password(with_password: Served) -> None:
    before = with_password.box.run(KEPT).stdout
    again = provision(with_password.box, PASSWORD)
    assert again["changed"] == 0 and again["hosts"]["localhost"]["sshd"] == with_password.report
    assert with_password.box.run(KEPT).stdout == before


def watch(box: Box, line: str, moment: str = "never") -> dict:
    """Run a command as WATCH does, and see that the password was in no file but its own, which root alone can read."""
    box.write("/dev/shm/watch.py", WATCH)
    seen = json.loads(box.run(f"python3 /dev/shm/watch.py '{moment}' ./bootstrap {line}").stdout)
    # The second is what becomes the first, whole or not at all.
    assert all(re.fullmatch(r"/var/lib/provision/sshd/(password|\.new-password-\w+)", path) for path in seen["found"])
    assert set(seen["found"].values()) <= {"600"}
    return seen


def test_the_password_is_nowhere_but_in_its_file_and_a_run_that_fails_leaves_none_and_no_server(client: Box) -> None:
    shadow = client.run("cat /etc/shadow").stdout
    taken = (
        "python3 -u -m http.server --bind 127.0.0.1 2222 > /dev/shm/taken 2> /dev/null & "
        "until grep -q Serving /dev/shm/taken 2> /dev/null; do sleep 0.05; done"
    )
    for option, what, words in [
        ("-t", "echo Bad configuration option: X >&2; exit 255", "Bad configuration option: X"),
        ("-D", taken, "Cannot bind any address"),
    ]:
        client.write("/usr/local/sbin/sshd", SPOILT.format(option=option, what=what), mode="755")
        seen = watch(client, f"provision {PASSWORD} --json")
        error = json.loads(seen["said"])["error"]
        assert words in error["message"] and "\n" not in error["message"] and error["hint"]
        assert client.run("cat /etc/shadow").stdout == shadow
        left = "pgrep -x sshd; pgrep -f [h]ttp.server; ls /var/lib/provision/sshd/password*"
        assert client.run(left, check=False).stdout == ""
    assert seen["found"]  # the password had been there
    client.run("rm /usr/local/sbin/sshd")
    seen = watch(client, f"provision {PASSWORD} --verbose")
    assert seen["code"] == 0 and seen["found"] and seen["passes"] > 3
    assert client.run("cat /etc/shadow").stdout != shadow
    password = client.read("/var/lib/provision/sshd/password").strip()
    assert password not in client.run("./bootstrap provision status; ./bootstrap provision status --json").stdout


def test_an_interrupted_run_leaves_no_trace_of_the_password_and_a_rerun_repairs(client: Box) -> None:
    shadow = client.run("cat /etc/shadow").stdout
    moments = {"password set": False, "server started": True}
    for moment, rerun in moments.items():
        assert watch(client, f"provision {PASSWORD}", moment)["code"] == 130, moment
        if rerun:
            report = up(client, PASSWORD)
            password = client.read(report["password_file"]).strip()
            assert ssh_with_password(client, report, "mrinfo", password).returncode == 0
        provision(client, ABSENT)
        assert client.run("cat /etc/shadow").stdout == shadow
        assert client.run("pgrep -x sshd; ls -d /var/lib/provision/sshd*", check=False).stdout == ""


@pytest.fixture(scope="module")
def from_password_to_keys(served: Callable[[str, str], Served]) -> SimpleNamespace:
    """That machine, which then has had a password and keys, and now has keys; with what was there each time."""
    box, _, report, before = served("trixie", PASSWORD)
    shadow = [before, box.run("grep ^root: /etc/shadow").stdout]
    both = up(box, f"{KEYS} --with-password")
    password = box.read(both["password_file"]).strip()
    logins = [ssh(box, both, "true").returncode, ssh_with_password(box, both, "true", password).returncode]
    assert up(box, KEYS)["known_hosts"] == report["known_hosts"]
    shadow.append(box.run("grep ^root: /etc/shadow").stdout)
    return SimpleNamespace(box=box, report=report, shadow=shadow, logins=logins)


def test_from_password_to_keys_gives_the_old_password_back(from_password_to_keys: SimpleNamespace) -> None:
    before, meanwhile, after = from_password_to_keys.shadow
    assert meanwhile != before and after == before
    assert ssh(from_password_to_keys.box, from_password_to_keys.report, "true").returncode == 0


def test_a_lost_file_of_keys_is_refused_where_a_server_runs(from_password_to_keys: SimpleNamespace) -> None:
    box, report = from_password_to_keys.box, from_password_to_keys.report
    box.write("/tmp/empty.pub", "# keys of the lab\n")
    assert "/tmp/empty.pub" in refused(box, "run sshd --authorized-keys /tmp/empty.pub")["message"]
    assert ssh(box, report, "true").returncode == 0


def test_keys_and_a_password_can_be_had_together(from_password_to_keys: SimpleNamespace) -> None:
    assert from_password_to_keys.logins == [0, 0]


# --- What was lost or changed is put right ----------------------------------------------------------------------------


@pytest.fixture
def mended(keyed: Served) -> Served:
    """A machine whose server tests break and have put right."""
    return keyed


def test_a_killed_server_is_noticed_within_five_seconds_and_started_again_with_the_same_key(mended: Served) -> None:
    box, _, report, _ = mended
    box.write("/tmp/look.py", LOOK)
    for sign, words in (("STOP", "it does not answer"), ("CONT", "as wanted"), ("KILL", "it is not running")):
        # What is killed may take a moment to go.
        gone = "while kill -0 $pid 2> /dev/null; do sleep 0.05; done" if sign == "KILL" else ""
        box.run(f"pid={pid_of(box)}; kill -{sign} $pid; {gone}")
        said, seconds = box.run("python3 -IS /tmp/look.py").stdout.splitlines()
        assert said == words and float(seconds) < 5
    assert ssh(box, report, "true").returncode == 255
    assert up(box, KEYS) == report
    assert ssh(box, report, "true").returncode == 0


def test_a_run_is_answered_at_once_only_where_ansible_would_find_nothing_to_do(mended: Served) -> None:
    agree(mended.box, "sshd", authorized_keys="~/.ssh/id_ed25519.pub")
    assert up(mended.box, KEYS) == mended.report


def test_what_was_tampered_with_is_put_right(mended: Served) -> None:
    box, _, report, _ = mended
    ours = (
        "/var/lib/provision/sshd/sshd_config /var/lib/provision/sshd/authorized_keys /etc/profile.d/provision-sshd.sh"
    )
    before = box.run(f"cat {ours}").stdout
    # That each of the others is seen by itself, the test before tells.
    others = f"for name in {ours}; do cat ~/.ssh/other.pub >> $name; done; rm /etc/profile.d/provision-sshd.sh"
    for spoil in ("rm -r /run/sshd", others):
        box.run(spoil)
        assert provision(box, KEYS)["changed"] > 0
        assert provision(box, KEYS)["changed"] == 0
    assert box.run(f"cat {ours}; test -d /run/sshd").stdout == before
    assert ssh(box, report, "bash -lc mrinfo").returncode == 0
    assert ssh(box, report, "true", key="~/.ssh/other").returncode == 255


@pytest.fixture(scope="module")
def stopped(served: Callable[[str, str], Served]) -> SimpleNamespace:
    """What came of stopping a server in which a session was open, and of starting it again."""
    box, _, report, _ = served("trixie", KEYS)
    given = SSH.format(batch="yes", options="-i ~/.ssh/id_ed25519", **report)
    session = box.popen(f"{given} 'echo begun; read line; echo $line'", stdin=subprocess.PIPE)
    begun = session.stdout.readline()
    first = provision(box, STOPPED)
    login = ssh(box, report, "true").stderr
    ended = session.communicate("ended\n", timeout=60)[0]
    left = box.run("pgrep -x sshd", check=False).stdout
    again = provision(box, STOPPED)
    return SimpleNamespace(first=first, again=again, login=login, session=begun + ended, left=left, new=up(box, KEYS))


def test_stopped_lets_nobody_in_and_started_again_is_the_same_server(mended: Served, stopped: SimpleNamespace) -> None:
    assert stopped.first["changed"] == 1 and stopped.first["hosts"]["localhost"]["sshd"]["state"] == "stopped"
    assert "Connection refused" in stopped.login
    assert stopped.left == ""
    assert stopped.again["changed"] == 0
    assert stopped.new == mended.report
    assert ssh(mended.box, stopped.new, "true").returncode == 0


def test_sessions_that_are_open_go_on_when_the_server_is_stopped(stopped: SimpleNamespace) -> None:
    assert stopped.session == "begun\nended\n"


# --- The system's own server, and what is left in the end -------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(machines: Machines) -> SimpleNamespace:
    """What came of a Debian 12 without openssh-server from before the role was run until it was removed.

    For Debian 13, see the machine with systemd.
    """
    with machines.box(with_ssh_client(machines, "bookworm")) as box:
        story = SimpleNamespace(before=box.run(FOUND, check=False).stdout)
        report = up(box, PASSWORD)
        story.mine = pid_of(box)
        story.running = box.run("pgrep -x sshd").stdout.split()
        # Boxes have no documentation.
        verify = r"dpkg --verify openssh-server | sed -E '\# /usr/share/(doc|man)/#d'"
        story.verified = box.run(f"set -o pipefail; ! test -e /run/sshd.pid && {verify}", check=False)
        password = box.read(report["password_file"]).strip()
        story.login = ssh_with_password(box, report, "mrinfo", password)
        provision(box, ABSENT)
        story.after = box.run(FOUND, check=False).stdout
        story.left = box.run("pgrep -x sshd", check=False).stdout
        story.again = provision(box, ABSENT)
        return story


def test_where_there_is_no_server_it_is_installed(installed: SimpleNamespace) -> None:
    assert installed.login.stdout == "== mrinfo 3.0.8 ==\n"


def test_the_systems_server_is_neither_started_nor_touched(installed: SimpleNamespace) -> None:
    assert installed.running == [str(installed.mine)]
    assert (installed.verified.returncode, installed.verified.stdout) == (0, "")


def test_absent_leaves_the_machine_as_it_was_found(installed: SimpleNamespace) -> None:
    assert installed.after == installed.before
    assert installed.left == ""
    assert installed.again["changed"] == 0


@pytest.fixture
def inside_systemd(machines: Machines) -> Iterator[Callable[..., subprocess.CompletedProcess]]:
    """Run commands as a login does on a machine that systemd has started; openssh-server is not installed."""
    with machines.box(with_systemd(machines)) as box:
        booted = box.popen(f"unshare --mount bash -c {shlex.quote(BOOT)}", stderr=subprocess.DEVNULL)
        find = "pgrep -of '^/lib/systemd/systemd --system'"
        state = "nsenter -t $pid -m -p -r systemctl is-system-running"
        box.run(f"until pid=$({find}) && {state} | grep -E 'running|degraded'; do sleep 0.2; done", timeout=300)
        pid = box.run(find).stdout.strip()

        def inside(command: str, **options) -> subprocess.CompletedProcess:
            scope = f"systemd-run --quiet --scope bash -c {shlex.quote('cd ~/project; ' + command)}"
            return box.run(f"nsenter -t {pid} -m -p -C -r -w {scope}", **options)

        try:
            yield inside
        finally:
            box.run(f"kill -9 {pid}")
            booted.wait(timeout=60)


def test_with_systemd_as_process_1_the_server_outlives_the_login_and_the_systems_is_not_started(
    inside_systemd: Callable[..., subprocess.CompletedProcess],
) -> None:
    assert inside_systemd("cat /proc/1/comm").stdout == "systemd\n"
    before = inside_systemd(FOUND, check=False).stdout
    run = f"./bootstrap provision {KEYS} --json"
    report = json.loads(inside_systemd(run).stdout)["hosts"]["localhost"]["sshd"]
    mine = json.loads(inside_systemd("cat /var/lib/provision/sshd/sshd.pid").stdout)["pid"]
    assert inside_systemd("pgrep -x sshd").stdout == f"{mine}\n"
    assert inside_systemd("systemctl is-active ssh.service", check=False).stdout == "inactive\n"
    login = SSH.format(batch="yes", options="-i ~/.ssh/id_ed25519", **report)
    inside_systemd("cat > /tmp/known", input=report["known_hosts"] + "\n")
    assert inside_systemd(f"{login} mrinfo").stdout == "== mrinfo 3.0.8 ==\n"
    assert json.loads(inside_systemd(run).stdout)["changed"] == 0
    inside_systemd(f"./bootstrap provision {ABSENT}")
    assert inside_systemd(FOUND, check=False).stdout == before
    assert inside_systemd("pgrep -x sshd", check=False).stdout == ""


def test_a_server_of_the_systems_goes_on_as_it_was(client: Box) -> None:
    client.run("mkdir -p /run/sshd; /usr/sbin/sshd -p 2022; cp -a /etc/ssh /tmp/was")
    pid = client.run("pgrep -o -x sshd").stdout
    before = client.run(FOUND, check=False).stdout
    up(client, PASSWORD)
    assert len(client.run("pgrep -x sshd").stdout.split()) == 2
    provision(client, ABSENT)
    client.run("diff -r /etc/ssh /tmp/was; test -d /run/sshd; test -x /usr/sbin/sshd")
    assert client.run("pgrep -x sshd").stdout == pid
    assert client.run(FOUND, check=False).stdout == before


def test_a_second_run_with_keys_changes_nothing_in_check_mode_too(client: Box) -> None:
    play = "./bootstrap ansible-playbook playbooks/sshd.yml -e sshd_authorized_keys='~/.ssh/id_ed25519.pub'"
    assert "changed=1" in client.run(f"{play} --check").stdout
    client.run("! test -e /var/lib/provision/sshd; ! pgrep -x sshd")
    client.run(play)
    assert "changed=0" in client.run(f"{play} --check").stdout


def test_an_ordinary_user_gets_a_server_of_their_own(client: Box) -> None:
    client.add_user("eve", sudo=False)
    client.run("install -d -o eve -g eve -m 700 ~eve/.ssh; install -o eve -m 600 ~/.ssh/id_ed25519* ~eve/.ssh")
    client.run("chmod 711 /root")  # the environment there serves both
    as_eve = {"user": "eve", "program": "/root/project/.venv/bin/provision"}
    report = up(client, KEYS, **as_eve)
    assert report["user"] == "eve"
    assert ssh(client, report, "'id -un; mrinfo'", login="eve").stdout == "eve\n== mrinfo 3.0.8 ==\n"
    assert ssh(client, report, "true", user="root", login="eve").returncode == 255
    assert provision(client, KEYS, **as_eve)["changed"] == 0
    assert refused(client, PASSWORD, **as_eve)["code"] == "needs-root"
    provision(client, ABSENT, **as_eve)
    assert client.run("pgrep -u eve sshd; ls -d ~eve/.local/state/provision/sshd*", check=False).stdout == ""


# --- What cannot be done ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("run sshd --port 2000", "port-taken", "2000"),
        ("run sshd --authorized-keys ~/.ssh/id_ed25519", "private-key", ""),
        ("run sshd --authorized-keys ~/.ssh/none.pub --check", "no-file", "/root/.ssh/none.pub"),
        ("run sshd --authorized-keys ~/.ssh/id_ed25519.pub --user sync --check", "no-shell", "/bin/sync"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing_in_check_mode_too(
    bare: Box, line: str, code: str, words: str
) -> None:
    taken = bare.popen("exec python3 -u -m http.server --bind 127.0.0.1 2000")
    assert taken.stdout.readline().startswith("Serving")
    before = bare.run(FOUND, check=False).stdout
    try:
        error = refused(bare, line)
    finally:
        taken.kill()
        taken.wait()
    assert error["code"] == code and words in error["message"] and error["hint"] and "\n" not in error["message"]
    assert "PRIVATE KEY" not in json.dumps(error)
    assert bare.run(FOUND, check=False).stdout == before


@pytest.mark.parametrize(
    ("sources", "code"), [("", "no-package"), ("kept", "unreachable")], ids=["no sources", "no network"]
)
def test_where_openssh_server_is_not_to_be_had_nothing_half_done_stays(bare: Box, sources: str, code: str) -> None:
    before = bare.run(FOUND, check=False).stdout
    bare.run(f"cd /etc/apt; touch sources.list; [ -z '{sources}' ] || cp kept sources.list")
    error = refused(bare, KEYS)
    assert error["code"] == code and error["hint"] and "\n" not in error["message"]
    assert bare.run(FOUND, check=False).stdout == before


def test_without_root_and_without_openssh_server_it_says_whom_to_ask(bare: Box) -> None:
    bare.run("install -D -m 644 ~/.ssh/id_ed25519.pub /home/eve/.ssh/id_ed25519.pub")
    before = bare.run(f"{FOUND}; find /home/eve -type f ! -path '*/logs/*'", check=False).stdout
    error = refused(bare, KEYS, program="/root/project/.venv/bin/provision", user="eve", cwd="/home/eve")
    assert error["code"] == "needs-root"
    assert error["hint"].endswith("sudo apt-get install openssh-server")
    assert bare.run(f"{FOUND}; find /home/eve -type f ! -path '*/logs/*'", check=False).stdout == before


# --- At the same time -------------------------------------------------------------------------------------------------


def at_once(box: Box, *lines: str) -> list[dict]:
    """Run commands at the same time, all of which must succeed; return what they print as JSON."""
    processes = [box.popen(line) for line in lines]
    ended = [(process.communicate(timeout=300), process.returncode) for process in processes]
    assert [code for _, code in ended] == [0] * len(lines), ended
    return [json.loads(out) if out.startswith("{") else {} for (out, _), _ in ended]


def serves(box: Box) -> bool:
    """Tell whether the server runs, which what is noted must agree with."""
    noted = provision(box, "status")["hosts"]["localhost"].get("sshd", {})
    runs = box.run("pgrep -f 'sshd.*provision/sshd/sshd_config'", check=False).returncode == 0
    assert runs == (noted.get("state") == "started") == noted.get("works", False)
    return runs


def test_two_at_once_are_as_one_after_the_other_and_no_other_user_holds_them_up(client: Box) -> None:
    run = f".venv/bin/provision {KEYS} --json"
    first, second = at_once(client, run, run)
    assert sorted(bool(result["changed"]) for result in (first, second)) == [False, True] and serves(client)
    first, second = (result["hosts"]["localhost"]["sshd"] for result in (first, second))
    assert first == second
    remove = ".venv/bin/provision remove sshd --yes --json"
    started, ended = at_once(client, run, remove)
    # What found nothing to do came first.
    assert ended["changed"] and serves(client) == bool(started["changed"])
    at_once(client, run)
    by_hand = ".venv/bin/ansible-playbook playbooks/sshd.yml -e sshd_authorized_keys=/root/.ssh/id_ed25519.pub"
    _, ended = at_once(client, by_hand, remove)
    assert ended["changed"] and serves(client) in (True, False)
    at_once(client, run)
    client.run("ls -A /run/provision | wc -l | grep -x 0; stat -c %a /run/provision | grep -x 700")
    client.add_user("eve", sudo=False)
    folders = "/ /tmp /run /var/lib/provision /var/lib/provision/sshd"
    client.run(f"for each in {folders}; do flock $each sleep 120 & done > /dev/null 2>&1", user="eve", cwd="/")
    client.run("timeout 60 sh -c 'until pgrep -c -u eve sleep | grep -x 5; do sleep 0.1; done'")
    assert provision(client, "stop", timeout=60)["changed"] and not serves(client)
