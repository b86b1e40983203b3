"""What the role `sshd` promises, on fresh machines, with a real client."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest
from box import SUITES, Box, CommandFailed
from layers import provision, refused

KEYS = "run sshd --authorized-keys ~/.ssh/id_ed25519.pub"
PASSWORD = "run sshd"
# Nothing of the client's own settings, no question, and only a host that is known.
SSH = (
    "ssh -F none -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/tmp/known -o ConnectTimeout=10 "
    "-o IdentitiesOnly=yes -o BatchMode={batch} -p {port} {user}@{host} {options}"
)
CLIENT = """
apt-get install -y -qq --no-install-recommends openssh-client sshpass > /dev/null
mkdir -m 0700 -p ~/.ssh
ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/other
printf '#!/bin/sh\\necho "== mrinfo 3.0.8 =="\\n' > /usr/local/bin/mrinfo
chmod +x /usr/local/bin/mrinfo
"""
KNOCK = """
import socket, time
held = [socket.create_connection(("127.0.0.1", 2222)) for _ in range(200)]
print("up", flush=True)
time.sleep(60)
"""
# What must be as before when the role has gone.
FOUND = (
    "grep ^root: /etc/shadow; dpkg-query -W | grep -v python3-apt\n"
    "find /etc/ssh /etc/profile.d /etc/pam.d /var/lib/provision "
    "/run/sshd ! -type d 2> /dev/null | sort; ls -d /etc/ssh /run/sshd; cat /etc/ssh/ssh_config"
)


@pytest.fixture(params=SUITES)
def client(request: pytest.FixtureRequest, make_box: Callable[..., Box]) -> Box:
    """A machine with an SSH client, and keys in root's home; no server."""
    box = make_box(request.param, ready=True)
    box.run(CLIENT)
    box.suite = request.param
    return box


@pytest.fixture
def trixie_client(ready_trixie: Box) -> Box:
    ready_trixie.run(CLIENT)
    return ready_trixie


def up(box: Box, line: str, **options) -> dict:
    """Run the role and return what it reports; the host is known to the client from then on."""
    report = provision(box, line, **options)["hosts"]["localhost"]["sshd"]
    box.write("/tmp/known", report["known_hosts"] + "\n")
    return report


def ssh(box: Box, report: dict, command: str, *, key: str = "~/.ssh/id_ed25519", user: str = "", options: str = "",
        login: str | None = None, **more):
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


def test_the_owner_of_the_key_gets_in_and_has_the_commands_in_every_kind_of_shell(client: Box) -> None:
    report = up(client, KEYS)
    assert (report["user"], report["host"], report["port"]) == ("root", "127.0.0.1", 2222)
    assert ssh(client, report, "mrinfo -version").stdout == "== mrinfo 3.0.8 ==\n"
    assert ssh(client, report, "bash -lc 'mrinfo'").returncode == 0
    # As a person sees it: a terminal and a login shell.
    typed = ssh(client, report, "", options="-tt", input="mrinfo; shopt login_shell; tty; exit\n").stdout
    assert "== mrinfo 3.0.8 ==" in typed and "/dev/pts/" in typed and "login_shell    \ton" in typed
    assert client.run("ssh-keygen -lf /var/lib/provision/sshd/ssh_host_ed25519_key.pub").stdout.split()[1] == (
        report["fingerprint"]
    )


def test_sixty_megabytes_go_each_way_unchanged(trixie_client: Box) -> None:
    report = up(trixie_client, KEYS)
    trixie_client.run("head -c 60000000 /dev/urandom > /tmp/sent")
    assert ssh(trixie_client, report, "'cat > /tmp/there' < /tmp/sent").returncode == 0
    assert ssh(trixie_client, report, "'cat /tmp/there' > /tmp/back").returncode == 0
    trixie_client.run("cmp /tmp/sent /tmp/back; cmp /tmp/sent /tmp/there")
    copy = SSH.format(batch="yes", options="", **report).replace("ssh -F", "scp -F").replace("-p 2222", "-P 2222")
    copy = copy.replace("root@127.0.0.1", "-q -i ~/.ssh/id_ed25519 root@127.0.0.1:/tmp/there /tmp/copied")
    trixie_client.run(f"{copy}; cmp /tmp/sent /tmp/copied")


def test_with_keys_nobody_gets_in_but_by_key(client: Box) -> None:
    client.run("echo root:old-password | chpasswd")
    client.add_user("eve", sudo=False)
    report = up(client, KEYS)
    assert "Permission denied (publickey)" in ssh(client, report, "true", key="~/.ssh/other").stderr
    assert "Permission denied (publickey)" in ssh_with_password(client, report, "true", "old-password").stderr
    assert ssh_with_password(client, report, "true", "").returncode != 0
    client.run("install -d -m 700 -o eve ~eve/.ssh; install -o eve ~/.ssh/id_ed25519.pub ~eve/.ssh/authorized_keys")
    assert "Permission denied" in ssh(client, report, "true", user="eve").stderr
    client.run("! test -e /var/lib/provision/sshd/password")


def test_the_servers_settings_are_the_careful_ones(client: Box) -> None:
    up(client, KEYS)
    found = settings(client)
    expected = {
        "port": "2222", "listenaddress": "127.0.0.1:2222", "allowusers": "root", "permitrootlogin": "without-password",
        "authenticationmethods": "publickey", "pubkeyauthentication": "yes", "passwordauthentication": "no",
        "kbdinteractiveauthentication": "no", "hostbasedauthentication": "no", "gssapiauthentication": "no",
        "permitemptypasswords": "no", "strictmodes": "yes", "maxauthtries": "6", "logingracetime": "30",
        "maxstartups": "300:30:600", "permituserenvironment": "no", "permittunnel": "no", "gatewayports": "no",
        "x11forwarding": "no", "hostkey": "/var/lib/provision/sshd/ssh_host_ed25519_key", "pidfile": "none",
        "authorizedkeysfile": "/var/lib/provision/sshd/authorized_keys", "usepam": "yes",
    }
    assert {name: found[name] for name in expected} == expected
    if client.suite == "trixie":
        assert found["persourcepenaltyexemptlist"] == "127.0.0.0/8,::1"


def test_without_a_key_a_random_password_lets_in_and_only_that(client: Box) -> None:
    report = up(client, PASSWORD)
    password = client.read(report["password_file"]).strip()
    assert len(password) >= 32
    assert client.run("stat -c %a /var/lib/provision/sshd/password*").stdout.split() == ["600", "600"]
    assert ssh_with_password(client, report, "mrinfo", password).stdout == "== mrinfo 3.0.8 ==\n"
    for wrong in ("", "password", password[:-1]):
        assert "Permission denied" in ssh_with_password(client, report, "true", wrong).stderr
    assert "Permission denied (password)" in ssh(client, report, "true").stderr
    found = settings(client)
    assert (found["permitrootlogin"], found["authenticationmethods"]) == ("yes", "password")
    assert found["kbdinteractiveauthentication"] == "no"


def test_the_password_is_nowhere_but_in_its_file(trixie_client: Box) -> None:
    before = trixie_client.run("cat /etc/shadow").stdout
    said = trixie_client.run(f"./bootstrap provision {PASSWORD} --verbose; ./bootstrap provision status")
    password = trixie_client.read("/var/lib/provision/sshd/password").strip()
    assert password not in said.stdout + said.stderr
    trixie_client.write("/dev/shm/needle", password)
    found = trixie_client.run(
        "grep -rlFf /dev/shm/needle /etc /home /opt /root /run /srv /tmp /usr/local /var /proc/[0-9]*/environ "
        "/proc/[0-9]*/cmdline 2> /dev/null", check=False
    ).stdout.split()
    assert found == ["/var/lib/provision/sshd/password"]
    assert before != trixie_client.run("cat /etc/shadow").stdout


def test_a_second_run_changes_nothing_and_keeps_key_and_password(client: Box) -> None:
    first = up(client, PASSWORD)
    files = "cat /etc/shadow; cd /var/lib/provision/sshd; sha256sum password* ssh_host* sshd.pid sshd_config"
    before = client.run(files).stdout
    again = provision(client, PASSWORD)
    assert again["changed"] == 0 and again["hosts"]["localhost"]["sshd"] == first
    assert client.run(files).stdout == before


def test_a_second_run_with_keys_changes_nothing_in_check_mode_too(trixie_client: Box) -> None:
    play = "./bootstrap ansible-playbook playbooks/sshd.yml -e sshd_authorized_keys='~/.ssh/id_ed25519.pub'"
    assert "changed=1" in trixie_client.run(f"{play} --check").stdout
    trixie_client.run("! test -e /var/lib/provision/sshd; ! command -v sshd")
    trixie_client.run(play)
    assert "changed=0" in trixie_client.run(play).stdout
    assert "changed=0" in trixie_client.run(f"{play} --check").stdout


def test_a_killed_server_is_started_again_and_known_by_the_same_key(trixie_client: Box) -> None:
    report = up(trixie_client, KEYS)
    trixie_client.run(f"kill -9 {json.loads(trixie_client.read('/var/lib/provision/sshd/sshd.pid'))['pid']}")
    assert ssh(trixie_client, report, "true").returncode == 255
    assert up(trixie_client, KEYS) == report
    assert ssh(trixie_client, report, "true").returncode == 0


@pytest.mark.parametrize("spoil", [
    "echo PermitEmptyPasswords yes > /var/lib/provision/sshd/sshd_config",
    "cat ~/.ssh/other.pub >> /var/lib/provision/sshd/authorized_keys",
    "rm -r /run/sshd",
    "rm /etc/profile.d/provision-sshd.sh",
])
def test_what_was_tampered_with_is_put_right(trixie_client: Box, spoil: str) -> None:
    report = up(trixie_client, KEYS)
    trixie_client.run(spoil)
    assert provision(trixie_client, KEYS)["changed"] > 0
    assert provision(trixie_client, KEYS)["changed"] == 0
    assert ssh(trixie_client, report, "bash -lc mrinfo").returncode == 0
    assert ssh(trixie_client, report, "true", key="~/.ssh/other").returncode == 255


def test_from_password_to_keys_gives_the_old_password_back(trixie_client: Box) -> None:
    trixie_client.run("echo root:old-password | chpasswd; chage -d 19000 root")
    before = trixie_client.run("grep ^root: /etc/shadow").stdout
    report = up(trixie_client, PASSWORD)
    assert trixie_client.run("grep ^root: /etc/shadow").stdout != before
    up(trixie_client, KEYS)
    assert trixie_client.run("grep ^root: /etc/shadow").stdout == before
    assert ssh(trixie_client, report, "true").returncode == 0


def test_keys_and_a_password_can_be_had_together(trixie_client: Box) -> None:
    report = up(trixie_client, f"{KEYS} --with-password")
    assert ssh(trixie_client, report, "true").returncode == 0
    assert ssh_with_password(trixie_client, report, "true", trixie_client.read(report["password_file"]).strip()
                             ).returncode == 0


def test_the_systems_server_is_neither_started_nor_touched(client: Box) -> None:
    up(client, KEYS)
    mine = json.loads(client.read("/var/lib/provision/sshd/sshd.pid"))["pid"]
    assert client.run("pgrep -x sshd").stdout.split() == [str(mine)]
    client.run("! test -e /run/sshd.pid; dpkg --verify openssh-server")


def test_a_server_of_the_systems_goes_on_as_it_was(trixie_client: Box) -> None:
    trixie_client.run(
        "apt-get install -y -qq --no-install-recommends openssh-server > /dev/null; mkdir -p /run/sshd\n"
        "pgrep -x sshd || /usr/sbin/sshd -p 2022; cp -a /etc/ssh /tmp/was"
    )
    pid = trixie_client.run("pgrep -o -x sshd").stdout
    report = up(trixie_client, KEYS)
    assert ssh(trixie_client, report, "true").returncode == 0
    provision(trixie_client, "run sshd --state absent")
    trixie_client.run("diff -r /etc/ssh /tmp/was; test -d /run/sshd; test -x /usr/sbin/sshd")
    assert trixie_client.run("pgrep -x sshd").stdout == pid


def test_stopped_lets_nobody_in_and_started_again_is_the_same_server(client: Box) -> None:
    report = up(client, KEYS)
    stopped = provision(client, "run sshd --state stopped")
    assert stopped["changed"] == 1 and stopped["hosts"]["localhost"]["sshd"]["state"] == "stopped"
    assert "Connection refused" in ssh(client, report, "true").stderr
    assert client.run("pgrep -x sshd", check=False).stdout == ""
    assert provision(client, "run sshd --state stopped")["changed"] == 0
    assert up(client, KEYS) == report
    assert ssh(client, report, "true").returncode == 0


def test_sessions_that_are_open_go_on_when_the_server_is_stopped(trixie_client: Box) -> None:
    report = up(trixie_client, KEYS)
    given = SSH.format(batch="yes", options="-i ~/.ssh/id_ed25519", **report)
    session = trixie_client.popen(f"{given} 'echo begun; read line; echo $line'", stdin=subprocess.PIPE)
    assert session.stdout.readline() == "begun\n"
    provision(trixie_client, "run sshd --state stopped")
    assert session.communicate("ended\n", timeout=10)[0] == "ended\n"


@pytest.mark.parametrize("line", [KEYS, PASSWORD])
def test_absent_leaves_the_machine_as_it_was_found(client: Box, line: str) -> None:
    before = client.run(FOUND, check=False).stdout
    up(client, line)
    provision(client, "run sshd --state absent")
    assert client.run(FOUND, check=False).stdout == before
    assert client.run("pgrep -x sshd", check=False).stdout == ""
    assert provision(client, "run sshd --state absent")["changed"] == 0


def test_two_hundred_that_never_log_in_do_not_keep_the_owner_out(trixie_client: Box) -> None:
    report = up(trixie_client, KEYS)
    trixie_client.write("/tmp/knock.py", KNOCK)
    knocking = trixie_client.popen("python3 /tmp/knock.py")
    try:
        assert knocking.stdout.readline() == "up\n"
        assert [ssh(trixie_client, report, "true").returncode for _ in range(5)] == [0] * 5
    finally:
        knocking.kill()
        knocking.wait()


def test_one_who_fails_often_does_not_keep_the_owner_out(client: Box) -> None:
    report = up(client, KEYS)
    for _ in range(12):
        assert ssh(client, report, "true", key="~/.ssh/other").returncode == 255
    assert ssh(client, report, "true").returncode == 0


def test_an_ordinary_user_gets_a_server_of_their_own(client: Box) -> None:
    client.run("apt-get install -y -qq --no-install-recommends openssh-server > /dev/null")
    client.add_user("eve", sudo=False)
    client.run("install -d -o eve -g eve -m 700 ~eve/.ssh; install -o eve -m 600 ~/.ssh/id_ed25519* ~eve/.ssh")
    report = up(client, KEYS, user="eve")
    assert report["user"] == "eve"
    assert ssh(client, report, "'id -un; mrinfo'", login="eve").stdout == "eve\n== mrinfo 3.0.8 ==\n"
    assert ssh(client, report, "true", user="root", login="eve").returncode == 255
    assert provision(client, KEYS, user="eve")["changed"] == 0
    assert "Only root can set a password" in refused(client, PASSWORD, user="eve")["message"]
    provision(client, "run sshd --state absent", user="eve")
    assert client.run("pgrep -u eve sshd; ls -d ~eve/.local/state/provision/sshd*", check=False).stdout == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run sshd --port 70000", "from 1 to 65535"),
        ("run sshd --port 2000", "in use"),
        ("run sshd --listen-addresses 192.0.2.1", "cannot assign"),
        ("run sshd --user nobody-at-all", "There is no user nobody-at-all"),
        ("run sshd --authorized-keys ~/.ssh/none.pub", "/root/.ssh/none.pub, which is neither"),
        ("run sshd --authorized-keys ~/.ssh/id_ed25519", "private key"),
        ("run sshd --authorized-keys 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me'", "not a whole public key"),
        ("run sshd --environment '{\"A B\": 1}'", "cannot set A B"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(trixie_client: Box, line: str, words: str) -> None:
    taken = trixie_client.popen("python3 -m http.server --bind 127.0.0.1 2000")
    before = trixie_client.run(FOUND, check=False).stdout
    try:
        error = refused(trixie_client, line)
    finally:
        taken.kill()
        taken.wait()
    assert words in error["message"] and error["hint"] and "\n" not in error["message"]
    assert "PRIVATE KEY" not in json.dumps(error)
    assert trixie_client.run(FOUND, check=False).stdout == before


def test_without_a_network_to_install_from_nothing_half_done_stays(trixie_client: Box) -> None:
    trixie_client.run("rm -rf /var/lib/apt/lists/*")
    trixie_client.cut_network()
    before = trixie_client.run(FOUND, check=False).stdout
    with pytest.raises(CommandFailed):
        trixie_client.run(f"./bootstrap provision {KEYS}")
    assert trixie_client.run(FOUND, check=False).stdout == before
