"""What the role `reverse_ssh` promises: a machine that is come into by a gateway, both fresh, with real programs.

The machines share a network of their own, which is a loopback and no more.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from box import Box, Machines
from layers import agree, provision, refused, with_ssh
from waiting import wait_until

FOLDER = "/var/lib/provision/reverse_ssh"
# 2340 is the gateway's server, 2341 the machine's; 2342 and 2343 are gateways that forward too much and too little.
GATEWAY = """
useradd --create-home --shell /bin/bash tunnel
useradd --create-home --shell /bin/bash alice
usermod -p '*' tunnel; usermod -p '*' alice
for user in tunnel alice; do install -d -m 700 -o $user /home/$user/.ssh; done
install -o alice -m 600 ~/.ssh/id_ed25519.pub ~alice/.ssh/authorized_keys
mkdir -p /srv/gateway /run/sshd; cd /srv/gateway
ssh-keygen -q -t ed25519 -N '' -f key
serve() {
    printf '%s\n' "Port $1" 'ListenAddress 127.0.0.1' 'HostKey /srv/gateway/key' 'UsePAM no' 'MaxStartups 100' \
        'PerSourcePenalties no' "PidFile /srv/gateway/$1.pid" "$2" \
        'Match User tunnel' 'AllowStreamLocalForwarding no' 'ClientAliveInterval 15' > $1.conf
    /usr/sbin/sshd -f /srv/gateway/$1.conf -E /srv/gateway/$1.log
    until test -s $1.pid; do sleep 0.05; done  # it goes into the background before it listens
}
serve 2340 'GatewayPorts no'
serve 2342 'GatewayPorts yes'
serve 2343 'AllowTcpForwarding no'
echo "[127.0.0.1]:* $(cut -d' ' -f1,2 key.pub)" | tee known ~/.ssh/known_hosts
"""
# What the probe finds of the tunnel as it was set up, and how long that takes.
LOOK = """
import json, sys, time
sys.path.insert(0, "/root/project")
from plugins.module_utils.provision.notes import read_state
from plugins.module_utils.provision.system import look_at_machine
from plugins.module_utils.provision.look.reverse_ssh import look_at
begin = time.monotonic()
state = read_state("reverse_ssh")
wanted = {**state["wanted"], "known_hosts": "\\n".join(state["known"]), "jump": state["report"]["jump"]}
found = look_at({**wanted, "accept_colab_policy": False, "state": "started"}, look_at_machine())
print(json.dumps({**found, "seconds": time.monotonic() - begin}))
"""
# Connects to a socket as soon as that is there, and waits for what comes of it.
CONNECT = """
import socket, time
end = time.monotonic() + 60
while True:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect("/tmp/local")
        break
    except OSError:
        assert time.monotonic() < end
        time.sleep(0.1)
connection.recv(1)
"""
# Of a person who comes in: nothing of their own settings, no question, and only hosts that are known.
SSH = "-F none -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/tmp/known -o ConnectTimeout=60"
RUNNING = "pgrep -f 'reverse_tunnel|ssh -F none -v'"


@pytest.fixture(scope="module")
def world(machines: Machines) -> Iterator[SimpleNamespace]:
    """A gateway, on which a person sits as root, and a machine with an SSH server that lets them in."""
    with contextlib.ExitStack() as stack:
        root = with_ssh(machines, "trixie")
        gateway, machine = (stack.enter_context(machines.box(root, offline=True)) for _ in range(2))
        machine.join_network(gateway)
        known = gateway.run(GATEWAY).stdout
        machine.write("/srv/known", known)
        machine.write("/srv/look.py", LOOK)
        key = gateway.read("/root/.ssh/id_ed25519.pub").strip()
        world = SimpleNamespace(gateway=gateway, machine=machine, known=known, key=key)
        sshd = provision(machine, f"run sshd --port 2341 --authorized-keys '{key}' --with-password")
        world.password_file = sshd["hosts"]["localhost"]["sshd"]["password_file"]
        # As long as the gateway does not know the machine's key, what to do about it is the line to paste there.
        error = refused(machine, line())
        assert error["code"] == "gateway-refuses-key" and "tunnel@127.0.0.1:2340" in error["message"]
        assert machine.run(RUNNING, check=False).stdout == ""
        authorize(world, error["hint"].partition(": ")[2])
        yield world


OPTIONS = {
    "port": 2341,
    "gateway": "tunnel@127.0.0.1:2340",
    "known_hosts": "/srv/known",
    "jump": "alice@127.0.0.1:2340",
}


def line(roles: str = "reverse_ssh", prefix: str = "reverse-ssh-", **options) -> str:
    """Return the arguments of `provision` that open the way, with other options than the usual ones."""
    given = (f"--{prefix}{name.replace('_', '-')}={value}" for name, value in {**OPTIONS, **options}.items())
    return shlex.join(["run", *roles.split(), *given])


def authorize(world: SimpleNamespace, key_line: str) -> None:
    world.gateway.write("/home/tunnel/.ssh/authorized_keys", key_line + "\n")


def up(world: SimpleNamespace, given: str = "", **options) -> dict:
    """Run the role and return what it reports; the machine is known to the person from then on."""
    report = provision(world.machine, given or line(), **options)["hosts"]["localhost"]["reverse_ssh"]
    world.gateway.write("/tmp/known", report["known_hosts"] + "\n")
    return report


def ssh(
    world: SimpleNamespace, report: dict, command: str, options: str = "-o BatchMode=yes", before: str = "", **more
) -> subprocess.CompletedProcess[str]:
    """Come in as the report says and run a command; return what came of it."""
    given = report["command"].replace("ssh ", f"{before} ssh {SSH} {options} ", 1)
    return world.gateway.run(f"{given} {command}", check=False, **more)


def look(machine: Box, user: str | None = None) -> dict:
    """Return what the probe finds, which it does in time."""
    found = json.loads(machine.run("python3 /srv/look.py", user=user).stdout)
    assert found["seconds"] < 5
    return found


def wait_until_up(machine: Box) -> dict:
    wait_until(lambda: look(machine)["converged"], seconds=60)
    return look(machine)


@contextlib.contextmanager
def nobody_let_in(gateway: Box) -> Iterator[None]:
    """Have the gateway answer nobody who comes anew: what has ended is not there again before it is looked at."""
    gateway.run("kill -STOP $(cat /srv/gateway/2340.pid)")
    try:
        yield
    finally:
        gateway.run("kill -CONT $(cat /srv/gateway/2340.pid)")


def as_tunnel(world: SimpleNamespace, options: str) -> subprocess.CompletedProcess[str]:
    """Use the machine's key at the gateway."""
    own = f"ssh -F none -o BatchMode=yes -o UserKnownHostsFile=/srv/known -o IdentitiesOnly=yes -i {FOLDER}/id_ed25519"
    return world.machine.run(f"timeout 60 {own} -p 2340 -l tunnel 127.0.0.1 {options}", check=False)


def listening(box: Box, port: int) -> set[str]:
    """Return the addresses at which something listens, as the kernel writes them."""
    rows = [line.split() for line in box.run("cat /proc/net/tcp /proc/net/tcp6").stdout.splitlines()]
    places = [row[1].split(":") for row in rows if row[3] == "0A"]
    return {address for address, number in places if int(number, 16) == port}


def test_the_owner_of_the_key_comes_in_by_the_gateway_after_the_play_has_ended(world: SimpleNamespace) -> None:
    report = up(world)
    assert world.machine.run("pgrep -f ansible", check=False).stdout == ""
    assert report["command"] == f"ssh -J alice@127.0.0.1:2340 -p {report['port']} root@127.0.0.1"
    assert ssh(world, report, "cat /srv/look.py").stdout == LOOK
    config = f"{report['config']}    UserKnownHostsFile /tmp/known\n    StrictHostKeyChecking yes\n"
    world.gateway.write("/tmp/config", config)
    assert world.gateway.run("ssh -F /tmp/config provision hostname").stdout == "box\n"
    world.gateway.write("/tmp/known", f"[127.0.0.1]:{report['port']} {world.known.partition(' ')[2]}")
    assert "HOST IDENTIFICATION HAS CHANGED" in ssh(world, report, "true").stderr


def test_sixty_megabytes_go_each_way_unchanged(world: SimpleNamespace) -> None:
    report = up(world)
    world.gateway.run("head -c 60000000 /dev/urandom > /tmp/sent")
    assert ssh(world, report, "'cat > /tmp/there' < /tmp/sent").returncode == 0
    assert ssh(world, report, "'cat /tmp/there' > /tmp/back").returncode == 0
    world.gateway.run("cmp /tmp/sent /tmp/back")
    digests = {
        box.run(f"sha256sum < {name}").stdout
        for box, name in ((world.gateway, "/tmp/sent"), (world.machine, "/tmp/there"))
    }
    assert len(digests) == 1


def test_eight_are_in_at_once(world: SimpleNamespace) -> None:
    report = up(world)
    given = report["command"].replace("ssh ", f"ssh {SSH} -o BatchMode=yes ", 1)
    sessions = [
        world.gateway.popen(f"{given} 'echo begun; read line; echo $line'", stdin=subprocess.PIPE) for _ in range(8)
    ]
    assert [session.stdout.readline() for session in sessions] == ["begun\n"] * 8
    assert [session.communicate(f"{number}\n", timeout=60)[0] for number, session in enumerate(sessions)] == [
        f"{number}\n" for number in range(8)
    ]


def test_the_password_lets_in_as_well_where_there_is_one(world: SimpleNamespace) -> None:
    report = up(world)
    password = world.machine.read(world.password_file)
    options = "-o PreferredAuthentications=password -o NumberOfPasswordPrompts=1"
    with_password = {"options": options, "before": "sshpass -f /dev/stdin"}
    assert ssh(world, report, "hostname", input=password, **with_password).stdout == "box\n"
    assert "Permission denied" in ssh(world, report, "hostname", input="wrong\n", **with_password).stderr


def test_the_port_is_on_the_gateways_loopback_alone(world: SimpleNamespace) -> None:
    assert listening(world.gateway, up(world)["port"]) <= {"0100007F", "00000000000000000000000001000000"}


def test_the_machines_key_can_do_nothing_else_at_the_gateway(world: SimpleNamespace) -> None:
    report = up(world)
    assert world.gateway.read("/home/tunnel/.ssh/authorized_keys").strip() == report["authorize"]
    for options, code, words in (
        ("id", 1, ""),
        ("-tt", 255, "PTY allocation request failed"),
        ("-s sftp", 255, "subsystem request failed"),
    ):
        done = as_tunnel(world, options)
        assert (done.returncode, done.stdout) == (code, "") and words in done.stderr
    for port in (22, 2340, report["port"]):
        assert "open failed" in as_tunnel(world, f"-W 127.0.0.1:{port}").stderr
    for place in ("0.0.0.0:2344", "2344", "/tmp/socket"):
        done = as_tunnel(world, f"-N -o ExitOnForwardFailure=yes -R {place}:127.0.0.1:2341")
        assert done.returncode == 255 and "forwarding failed" in done.stderr
    # UNIX sockets are no matter of the line, but of the settings that the README gives.
    own = f"ssh -F none -o BatchMode=yes -o UserKnownHostsFile=/srv/known -i {FOLDER}/id_ed25519 -p 2340"
    world.machine.write("/srv/connect.py", CONNECT)
    world.machine.run(f"{own} -N -L /tmp/local:/run/agent tunnel@127.0.0.1 &\npython3 /srv/connect.py; kill %1")
    wait_until(lambda: "refused streamlocal port forward" in world.gateway.read("/srv/gateway/2340.log"), seconds=30)


def test_a_second_run_changes_nothing_and_keeps_the_port(world: SimpleNamespace) -> None:
    first = up(world)
    files = f"cd {FOLDER}; sha256sum id* known_hosts config.json *.py tunnel.*"
    before = world.machine.run(files).stdout
    again = provision(world.machine, line())
    assert again["changed"] == 0 and again["hosts"]["localhost"]["reverse_ssh"] == first
    assert world.machine.run(files).stdout == before
    agree(world.machine, "reverse_ssh", **OPTIONS)


@pytest.mark.parametrize("kill", ["ssh -F none -v", "^timeout"])
def test_what_was_killed_leaves_nothing_and_is_there_again_with_the_same_port(
    world: SimpleNamespace, kill: str
) -> None:
    report = up(world)
    if kill.startswith("ssh"):
        with nobody_let_in(world.gateway):
            world.machine.run(f"pkill -9 -f '{kill}'")
            assert look(world.machine)["drift"].startswith("the gateway does not answer")
        assert wait_until_up(world.machine)["report"] == report
    else:
        world.machine.run(f"pkill -9 -f '{kill}'")
        wait_until(lambda: look(world.machine).get("drift") == "it is not running", seconds=30)
        wait_until(lambda: not world.machine.run(RUNNING, check=False).stdout, seconds=30)
        again = up(world)
        assert {**again, "expires": ""} == {**report, "expires": ""}
    assert ssh(world, report, "true").returncode == 0


def test_a_session_that_the_gateway_drops_is_begun_anew(world: SimpleNamespace) -> None:
    report = up(world)
    with nobody_let_in(world.gateway):
        world.gateway.run("pkill -9 -u tunnel")
        wait_until(lambda: "closed by remote host" in look(world.machine).get("drift", ""), seconds=30)
    assert wait_until_up(world.machine)["report"] == report
    assert ssh(world, report, "true").returncode == 0


def test_a_gateway_that_hangs_is_not_taken_for_one_that_forwards(world: SimpleNamespace) -> None:
    up(world)
    world.gateway.run("pkill -STOP -u tunnel")
    assert look(world.machine)["drift"] == "the gateway does not answer"
    world.gateway.run("pkill -CONT -u tunnel")
    wait_until_up(world.machine)


def test_a_killed_server_is_seen_and_one_run_puts_both_right(world: SimpleNamespace) -> None:
    report = up(world)
    world.machine.run(f"kill -9 {json.loads(world.machine.read('/var/lib/provision/sshd/sshd.pid'))['pid']}")
    assert look(world.machine)["drift"] == "the SSH server at port 2341 does not answer"
    error = refused(world.machine, line())
    assert error["code"] == "no-ssh-server" and "2341" in error["message"] and "sshd" in error["hint"]
    both = f"{line('sshd reverse_ssh')} --authorized-keys '{world.key}' --with-password --sshd-port 2341"
    assert up(world, both) == report
    assert ssh(world, report, "true").returncode == 0


def test_it_closes_by_itself_when_its_time_is_over(world: SimpleNamespace) -> None:
    report = up(world, line(max_seconds=25))  # enough for a busy machine to open it in
    port = report["port"]
    left = time.mktime(time.strptime(report["expires"], "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(time.gmtime())
    assert 0 < left <= 25
    time.sleep(left + 1)
    # The time is told in whole seconds, and what ends is a moment on its way out.
    wait_until(lambda: look(world.machine).get("drift") == "it is not running", seconds=20)
    wait_until(lambda: not world.machine.run(RUNNING, check=False).stdout, seconds=20)
    wait_until(lambda: listening(world.gateway, port) == set(), seconds=20)
    assert up(world)["port"] == port


def test_a_port_of_ones_own_is_had_and_the_key_limited_to_it(world: SimpleNamespace) -> None:
    before = up(world)["authorize"]
    narrow = before.replace("127.0.0.1:*", "127.0.0.1:2345")
    authorize(world, narrow)
    report = up(world, line(gateway_port=2345))
    assert (report["port"], report["authorize"]) == (2345, narrow)
    error = refused(world.machine, line(gateway_port=2346))
    authorize(world, before)
    assert error["code"] == "gateway-port-taken" and "2346" in error["message"]
    assert error["hint"].endswith(before.replace("127.0.0.1:*", "127.0.0.1:2346"))


def test_a_key_that_was_given_is_used_on_every_machine(world: SimpleNamespace) -> None:
    # As a file that came by Windows, and without an end of its last line: ssh itself would not read it.
    world.machine.run("ssh-keygen -q -t ed25519 -N '' -f /srv/key; sed -i 's/$/\\r/' /srv/key; truncate -s -2 /srv/key")
    public = world.machine.read("/srv/key.pub").split()[1]
    known = world.gateway.read("/home/tunnel/.ssh/authorized_keys").strip()
    authorize(world, f"{known}\n{known.replace(known.split()[2], public)}")
    assert public in up(world, line(identity="/srv/key"))["authorize"]
    assert provision(world.machine, line(identity="/srv/key"))["changed"] == 0
    assert world.machine.run(f"stat -c %a {FOLDER} {FOLDER}/given_key").stdout.split() == ["700", "600"]
    secret = world.machine.read("/srv/key").splitlines()[3]  # the first is the same in all
    world.machine.write("/dev/shm/needle", secret)
    found = world.machine.run(
        "grep -rlFf /dev/shm/needle /etc /home /root /run /srv /tmp /var "
        "/proc/[0-9]*/environ /proc/[0-9]*/cmdline 2> /dev/null",
        check=False,
    ).stdout.split()
    assert sorted(found) == ["/srv/key", f"{FOLDER}/given_key"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"known_hosts": "[127.0.0.1]:2340 {other}"}, "gateway-key-changed"),
        ({"gateway": "tunnel@127.0.0.1:2359"}, "gateway-unreachable"),
        ({"gateway": "tunnel@127.0.0.1:2342"}, "gateway-opens-to-all"),
        ({"gateway": "tunnel@127.0.0.1:2343"}, "gateway-forwards-nothing"),
        ({"identity": "/srv/locked"}, "key-passphrase"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_one_sentence_and_nothing_is_left_running(
    world: SimpleNamespace, options: dict, code: str
) -> None:
    machine = world.machine
    if machine.run(RUNNING, check=False).stdout:
        provision(machine, "run reverse_ssh --state stopped")
    machine.run("test -e /srv/locked || ssh-keygen -q -t ed25519 -N secret -f /srv/locked")
    given = {name: str(value).format(other=world.key) for name, value in options.items()}
    error = refused(machine, line(**given))
    assert error["code"] == code and error["hint"] and "\n" not in error["message"]
    assert machine.run(RUNNING, check=False).stdout == ""


def test_stopped_closes_the_way(world: SimpleNamespace) -> None:
    report = up(world)
    stopped = provision(world.machine, "run reverse_ssh --state stopped")
    assert stopped["changed"] == 1 and stopped["hosts"]["localhost"]["reverse_ssh"]["state"] == "stopped"
    assert world.machine.run(RUNNING, check=False).stdout == ""
    wait_until(lambda: listening(world.gateway, report["port"]) == set(), seconds=30)  # the gateway hears of it last
    assert provision(world.machine, "run reverse_ssh --state stopped")["changed"] == 0


def test_on_colab_it_is_opened_only_with_leave(world: SimpleNamespace) -> None:
    if world.machine.run(RUNNING, check=False).stdout:
        provision(world.machine, "run reverse_ssh --state stopped")
    colab = {"COLAB_RELEASE_TAG": "release-colab_20260909"}
    # `provision` asks before it starts anything; the role by itself says what to do.
    done = world.machine.run(
        "./bootstrap ansible-playbook playbooks/reverse_ssh.yml -e reverse_ssh_gateway=tunnel@127.0.0.1:2340 "
        "-e reverse_ssh_known_hosts=/srv/known -e reverse_ssh_port=2341",
        env=colab,
        check=False,
    )
    assert done.returncode == 2
    assert "compute units" in done.stdout and "reverse_ssh_accept_colab_policy=true" in done.stdout
    assert world.machine.run(RUNNING, check=False).stdout == ""
    assert up(world, line() + " --reverse-ssh-accept-colab-policy", env=colab)["state"] == "started"


def test_an_ordinary_user_has_a_way_in_of_their_own(world: SimpleNamespace) -> None:
    world.machine.add_user("eve", sudo=False)
    world.machine.run("chmod 755 /root")
    own = {"user": "eve", "program": "/root/project/.venv/bin/provision"}
    provision(world.machine, f"run sshd --port 2347 --authorized-keys '{world.key}'", **own)
    key = "~/.local/state/provision/reverse_ssh/id_ed25519"
    world.machine.run(f"mkdir -p -m 700 {key.rpartition('/')[0]}; ssh-keygen -q -t ed25519 -N '' -f {key}", user="eve")
    before = world.gateway.read("/home/tunnel/.ssh/authorized_keys")
    public = world.machine.run(f"cat {key}.pub", user="eve").stdout
    authorize(world, before.strip() + f"\nrestrict,port-forwarding {public}")
    report = up(world, line(port=2347), **own)
    assert report["user"] == "eve" and ssh(world, report, "id -un").stdout == "eve\n"
    assert provision(world.machine, line(port=2347), **own)["changed"] == 0
    provision(world.machine, "run reverse_ssh --state absent", **own)
    assert (
        world.machine.run("pgrep -u eve ssh -x; ls -d ~eve/.local/state/provision/reverse_ssh*", check=False).stdout
        == ""
    )


def test_another_kind_of_server_will_do_the_client_is_installed_and_absent_leaves_nothing(
    world: SimpleNamespace, ready_trixie: Box
) -> None:
    box = ready_trixie
    box.run(
        "apt-get install -y -qq --no-install-recommends dropbear-bin > /dev/null\n"
        "mkdir -m 700 -p ~/.ssh /etc/dropbear; cd /etc/dropbear\n"
        "dropbearkey -t ed25519 -f dropbear_ed25519_host_key > /dev/null"
    )
    box.write("/root/.ssh/authorized_keys", world.key + "\n", mode="600")
    box.write("/srv/known", world.known)
    box.run("dropbear -p 127.0.0.1:2348 > /dev/null 2>&1")
    refused(box, line(port=2348))  # here is the network from which to install, and no gateway
    box.join_network(world.gateway)
    box.run("dropbear -p 127.0.0.1:2348 > /dev/null 2>&1")
    before = world.gateway.read("/home/tunnel/.ssh/authorized_keys")
    authorize(world, f"restrict,port-forwarding {box.read(f'{FOLDER}/id_ed25519.pub')}")
    report = provision(box, line(port=2348))["hosts"]["localhost"]["reverse_ssh"]
    world.gateway.write("/tmp/known", report["known_hosts"] + "\n")
    assert ssh(world, report, "ls /srv").stdout == "known\n"
    provision(box, "run reverse_ssh --state absent")
    assert box.run(RUNNING, check=False).stdout == ""
    box.run("! command -v ssh; ! ls -d /var/lib/provision/reverse_ssh*")
    assert provision(box, "run reverse_ssh --state absent")["changed"] == 0
    authorize(world, before)
