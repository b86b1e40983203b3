"""What the role `ngrok` promises, with the stand-in for the service: the real agent, the double, and a real SSH client.

The service and the machine share a loopback, on which the public addresses are as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import secrets
import shlex
import signal
import socket
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from box import Box, Machines
from layers import agree
from ngrok_service import Service, agents
from ports import free_port
from waiting import wait_until

# Of this session alone: they are looked for in all files, of which this is one.
TOKEN, WRONG = secrets.token_hex(20), secrets.token_hex(20)
SSHD_PORT, KEYS = 2320, ["~/.ssh/id_ed25519.pub"]
FOLDER, STATE = "/var/lib/provision/ngrok", "/var/lib/provision/ngrok.json"
REAL, OPTIONS = "/opt/agent-2/ngrok", "/root/options.json"
PREPARE = """
apt-get install -y -qq --no-install-recommends openssh-client openssh-server sshpass > /dev/null
mkdir -m 0700 -p ~/.ssh
ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
printf '#!/bin/sh\\necho "== mrinfo 3.0.8 =="\\n' > /usr/local/bin/mrinfo
chmod +x /usr/local/bin/mrinfo
"""
# ngrok's SDK, which the double of the agent is on.
SDK = ".venv/bin/python -m pip install -q 'ngrok>=1.4'"
# What a notebook does; the token comes from a file, for arguments can be seen.
RUN = f"""
import json, provision
options = json.load(open("{OPTIONS}"))
try:
    print(json.dumps(provision.run(*options.pop("roles"), progress=lambda step: None, **options).to_dict()))
except provision.ProvisionError as error:
    print(json.dumps(error.to_dict()))
"""
STATUS = """
import json, time, provision
begin = time.monotonic()
found = provision.status()["hosts"]["localhost"]
print(json.dumps({**found, "seconds": time.monotonic() - begin}))
"""
SSH = "ssh -F none -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/tmp/known -o ConnectTimeout=60"
# Everything of the agent, and of what started it.
PROCESSES = "pgrep -fa 'ngrok[.]yml|redact[.]sed' || true"
# Looks for a secret, until it is asked to end and once more, in what processes show of themselves and in all files that
# were written since it was started.
WATCH_NAME = "/dev/shm/watch.py"
WATCH = """
import glob, json, os, signal, time
ended, found, modes, rounds = [], set(), set(), 0
signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
since = time.time() - 1

def written():
    for top in ("/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/usr/local", "/var"):
        for folder, folders, names in os.walk(top):
            folders[:] = [name for name in folders if name != ".venv"]
            for path in (os.path.join(folder, name) for name in names):
                try:
                    status = os.lstat(path)
                except OSError:  # it has gone; the others are still to be looked at
                    continue
                if status.st_mtime >= since and os.path.isfile(path):
                    yield path, oct(status.st_mode & 0o777)

def look(path, mode=None):
    with open(path, "rb") as file:
        if b"NEEDLE" in file.read():
            found.add(path)
            modes.update({mode} - {None})

def attempt(what, *arguments):
    try:
        what(*arguments)
    except OSError:  # it has gone
        pass

print("watching", flush=True)
while True:
    last, before, found = bool(ended), found, set()
    for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
        attempt(look, path)
    if rounds % 5 == 0 or last:
        attempt(lambda: [attempt(look, *one) for one in written()])
    rounds += 1
    if last:
        break
    found |= before
    time.sleep(0.02)
print(json.dumps({"found": sorted(before), "left": sorted(found), "modes": sorted(modes), "rounds": rounds}))
"""


@pytest.fixture(scope="module")
def root(machines: Machines) -> Path:
    """A machine with an SSH server's package and a client, and a key in root's home."""

    def prepare(box: Box) -> None:
        box.run(PREPARE)
        box.run(SDK)

    return machines.layer(machines.ready("trixie"), "ngrok", prepare, key=[PREPARE, SDK])


@pytest.fixture(scope="module")
def host(machines: Machines, root: Path, real_agent: Path) -> Iterator[Box]:
    """One machine for all, on which the role sshd has started a server."""
    with machines.box(root) as box:
        box.copy_in(real_agent, REAL)
        run(box, "sshd", sshd_port=SSHD_PORT, sshd_authorized_keys=KEYS)
        yield box


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path, TOKEN) as service:
        yield service


@pytest.fixture
def box(host: Box, service: Service) -> Iterator[Box]:
    """That machine, on which the role ngrok leaves nothing from one test to the next."""
    host.copy_in(service.ca, "/opt/ca.pem")
    yield host
    host.run(
        f"python3 -c 'from plugins.module_utils.provision.processes import stop; stop(\"{FOLDER}/ngrok.pid\", 0)'\n"
        f"rm -rf {FOLDER} {STATE}; pgrep -x sshd > /dev/null"
    )
    assert host.run(PROCESSES).stdout == ""


def run(box: Box, *roles: str, **options: object) -> dict:
    """Run roles as a notebook does; return the result, or what was wrong."""
    box.write(OPTIONS, json.dumps({"roles": roles, **options}), mode="600")
    done = box.run(f".venv/bin/python - <<'END'\n{RUN}END")
    return json.loads(done.stdout)


def wishes(service: Service, **options: object) -> dict:
    """The options of the role: with the real agent, where none is said."""
    usual = {
        "ngrok_authtoken": TOKEN, "ngrok_port": SSHD_PORT, "ngrok_agent_path": REAL,
        "ngrok_server_addr": service.address, "ngrok_root_cas": "/opt/ca.pem",
    }  # fmt: skip
    return usual | options


def up(box: Box, service: Service, **options: object) -> dict:
    """Open an address and return what is reported of it; the host is known to the client from then on."""
    result = run(box, "ngrok", **wishes(service, **options))
    assert "error" not in result, json.dumps(result) + box.run(f"cat {FOLDER}/ngrok.log || true").stdout
    report = result["hosts"]["localhost"]["ngrok"]
    box.write("/tmp/known", report["known_hosts"] + "\n")
    return {**report, "changed": result["changed"]}


def refused(box: Box, service: Service, **options: object) -> dict:
    """Ask for an address that cannot be opened, and return what was wrong; nothing runs or is noted then."""
    error = run(box, "ngrok", **wishes(service, **options))["error"]
    assert box.run(PROCESSES).stdout == ""
    box.run(f"! test -e {STATE}; ! test -e {FOLDER}/ngrok.pid")
    assert "\n" not in error["message"] and TOKEN not in json.dumps(error)
    return error


def works(box: Box) -> bool:
    """Tell what `provision.status` says, which may take five seconds."""
    status = json.loads(box.run(f".venv/bin/python -c {shlex.quote(STATUS)}").stdout)
    assert status["seconds"] < 5
    return status["ngrok"]["works"]


def ssh(box: Box, report: dict, command: str = "true", *, options: str = "-o BatchMode=yes"):
    """Log in through the public address and run a command; return what came of it."""
    place = f"-p {report['port']} root@{report['host']}"
    return box.run(f"{SSH} {options} {place} {shlex.quote(command)}", check=False)


def agent_pid(box: Box) -> str:
    return box.run("pgrep -f '^/opt/agent-2/ngrok start'").stdout.strip()


class Mirror(ThreadingHTTPServer):
    """Serves one archive, and as much of it as it is told."""

    def __init__(self, data: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Download)
        self.data = self.sent = data
        self.url = f"http://127.0.0.1:{self.server_address[1]}/ngrok.tgz"
        self.sha256 = hashlib.sha256(data).hexdigest()


class Download(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.data)))
        self.end_headers()
        self.wfile.write(self.server.sent)

    def log_message(self, *_: object) -> None:
        pass


def archive_of(script: str) -> bytes:
    """Return what ngrok's download is: an archive with the agent alone."""
    member = tarfile.TarInfo("ngrok")
    member.size, member.mode = len(script.encode()), 0o755
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(member, io.BytesIO(script.encode()))
    return packed.getvalue()


def archived_double(folder: Path) -> bytes:
    agents.install_double(folder / "double", python=f"{Box.project}/.venv/bin/python")
    script = re.sub(r"insert\(0, .*\)", f"insert(0, '{Box.project}/tests')", (folder / "double").read_text())
    # Random text does not shrink, so that half of it is no whole archive.
    return archive_of(f"{script}\n# {os.urandom(100_000).hex()}\n")


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    with Mirror(archived_double(tmp_path)) as mirror:
        threading.Thread(target=mirror.serve_forever, daemon=True).start()
        yield mirror
        mirror.shutdown()


@pytest.fixture
def silence() -> Iterator[str]:
    """The address of a service that lets connect and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"127.0.0.1:{silent.getsockname()[1]}"


def carries_ssh(box: Box, report: dict) -> None:
    """Log in with the key: a command, 60 MB each way, and eight at once."""
    assert ssh(box, report, "mrinfo -version").stdout == "== mrinfo 3.0.8 ==\n"
    box.run("test -e /tmp/sent || head -c 60000000 /dev/urandom > /tmp/sent")
    given = f"{SSH} -o BatchMode=yes -p {report['port']} root@{report['host']}"
    box.run(
        f"{given} 'cat > /tmp/there' < /tmp/sent\n{given} 'cat /tmp/there' > /tmp/back\n"
        "cmp /tmp/sent /tmp/there; cmp /tmp/sent /tmp/back"
    )
    with ThreadPoolExecutor(8) as pool:
        words = [f"session {number}" for number in range(8)]
        answers = pool.map(lambda word: ssh(box, report, f"sleep 1; echo {word}").stdout, words)
        assert list(answers) == [f"{word}\n" for word in words]


def listens(box: Box, pid: str) -> bool:
    """Tell whether a process accepts TCP connections anywhere."""
    sockets = set(re.findall(r"socket:\[(\d+)\]", box.run(f"ls -l /proc/{pid}/fd").stdout))
    lines = box.run("cat /proc/net/tcp /proc/net/tcp6").stdout.splitlines()
    return any(line.split()[3] == "0A" and line.split()[9] in sockets for line in lines)


def test_the_real_agents_address_lets_in_with_the_key_and_a_second_run_changes_nothing(
    box: Box, service: Service
) -> None:
    report = up(box, service)
    assert list(service.endpoints()) == [report["url"]] == [f"tcp://{report['host']}:{report['port']}"]
    assert report["command"] == f"ssh -p {report['port']} root@127.0.0.1" and report["state"] == "started"
    carries_ssh(box, report)
    assert up(box, service) == {**report, "changed": 0}
    # The token is kept.
    assert up(box, service, ngrok_authtoken="") == {**report, "changed": 0}
    assert works(box)
    assert not listens(box, agent_pid(box))
    modes = box.run(f"stat -c '%a %n' {FOLDER} {FOLDER}/*").stdout.replace(f"{FOLDER}/", "").splitlines()
    names = ("ngrok.log", "ngrok.pid", "ngrok.pid.lock", "ngrok.yml", "redact.sed")
    assert modes == [f"700 {FOLDER}", *(f"600 {name}" for name in names)]


def test_a_run_is_answered_at_once_only_where_ansible_would_find_nothing_to_do(box: Box, service: Service) -> None:
    agree(box, "ngrok", **wishes(service))


def test_the_newest_agent_is_downloaded_and_its_address_lets_in(box: Box, service: Service, mirror: Mirror) -> None:
    wish = {"ngrok_agent_path": "", "ngrok_download_url": mirror.url, "ngrok_sha256": mirror.sha256}
    report = up(box, service, **wish)
    assert list(service.endpoints()) == [report["url"]]
    carries_ssh(box, report)
    assert up(box, service, **wish) == {**report, "changed": 0}
    box.run(f"find {FOLDER}/agent -type f | grep -vx {FOLDER}/agent/ngrok && exit 1; true")


def test_both_roles_at_once_make_a_way_in_and_repair_it_with_key_and_password(
    machines: Machines, root: Path, real_agent: Path, service: Service
) -> None:
    with machines.box(root) as box:
        box.copy_in(real_agent, REAL)
        box.copy_in(service.ca, "/opt/ca.pem")
        given = wishes(service, sshd_port=2321, ngrok_port=2321, sshd_authorized_keys=KEYS)
        announced = run(box, "sshd", "ngrok", check=True, **given)
        assert announced["changed"] == 2
        box.run("! test -e /var/lib/provision/sshd; ! test -e /var/lib/provision/ngrok")
        report = run(box, "sshd", "ngrok", **given)["hosts"]["localhost"]["ngrok"]
        box.write("/tmp/known", report["known_hosts"] + "\n")
        assert ssh(box, report).returncode == 0
        # A server that is killed takes the way in with it, and comes back behind the same address.
        box.run("pkill -x sshd")
        assert not works(box)
        alone = {name: value for name, value in given.items() if not name.startswith("sshd_")}
        assert run(box, "ngrok", **alone)["error"]["code"] == "no-ssh-server"
        hosts = run(box, "sshd", "ngrok", **given, sshd_with_password=True)["hosts"]["localhost"]
        assert hosts["ngrok"] == report and ssh(box, report).returncode == 0
        # This one lets in with a password as well.
        options = "-o PubkeyAuthentication=no -o NumberOfPasswordPrompts=1"
        place = f"-p {report['port']} root@{report['host']}"
        password = box.read(hosts["sshd"]["password_file"])
        said = box.run(f"sshpass -f /dev/stdin {SSH} {options} {place} mrinfo -version", input=password)
        assert said.stdout == "== mrinfo 3.0.8 ==\n"


def test_a_killed_agent_is_replaced_at_the_reserved_address(box: Box, service: Service) -> None:
    reserved = f"127.0.0.1:{free_port()}"
    report = up(box, service, ngrok_remote_addr=reserved)
    assert report["url"] == f"tcp://{reserved}"
    box.run(f"kill -9 {agent_pid(box)}")
    assert not works(box)
    again = up(box, service, ngrok_remote_addr=reserved)
    assert again["url"] == report["url"] and again["changed"] > 0
    assert ssh(box, report).returncode == 0


def test_a_dropped_session_is_seen_waited_for_and_in_the_end_replaced(box: Box, service: Service) -> None:
    report = up(box, service)
    pid = agent_pid(box)
    service.refuse_sessions("ERR_NGROK_108", "Not now, {token}.")
    service.drop_sessions()
    assert not works(box)
    timer = threading.Timer(3, service.accept_sessions)
    timer.start()
    # It is not replaced, for it comes back by itself.
    again = up(box, service)
    timer.join()
    assert (again["url"], again["changed"], agent_pid(box)) == (report["url"], 0, pid)
    assert works(box)
    # What the service says to it later does not bring the token into its log.
    assert "Not now, ***" in box.read(f"{FOLDER}/ngrok.log")
    # One that hangs is.
    box.run(f"kill -STOP {pid}")
    service.drop_sessions()
    assert not works(box)
    again = up(box, service)
    assert agent_pid(box) != pid and ssh(box, again).returncode == 0


def test_the_address_closes_when_its_time_is_up_and_can_be_opened_again(
    box: Box, service: Service, silence: str
) -> None:
    assert refused(box, service, ngrok_max_seconds=1, ngrok_server_addr=silence)["code"] == "ngrok-closed"
    # Enough for a busy machine to open it in.
    report = up(box, service, ngrok_max_seconds=12)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", report["expires"])
    service.wait_for(lambda _: not service.endpoints())
    wait_until(lambda: box.run(PROCESSES).stdout == "", seconds=30)
    assert not works(box)
    again = up(box, service, ngrok_max_seconds=0)
    assert again["expires"] == "" and ssh(box, again).returncode == 0


def test_stopped_closes_it_and_keeps_the_token_and_absent_leaves_nothing(
    box: Box, service: Service, mirror: Mirror
) -> None:
    wish = {"ngrok_agent_path": "", "ngrok_download_url": mirror.url}
    up(box, service, **wish)
    for changed in (True, False):
        stopped = run(box, "ngrok", ngrok_state="stopped")
        assert (stopped["hosts"]["localhost"]["ngrok"]["state"], bool(stopped["changed"])) == ("stopped", changed)
        assert box.run(PROCESSES).stdout == ""
    service.wait_for(lambda _: not service.endpoints())
    assert ssh(box, up(box, service, **wish, ngrok_authtoken="")).returncode == 0
    for changed in (True, False):
        absent = run(box, "ngrok", ngrok_state="absent")
        report = absent["hosts"]["localhost"]["ngrok"]
        assert (report["state"], "folder" in report, bool(absent["changed"])) == ("absent", changed, changed)
    box.run(f"! test -e {FOLDER}; ! test -e {STATE}")
    assert box.run(PROCESSES).stdout == ""


def test_a_refused_token_is_one_sentence_and_not_kept_and_the_right_one_replaces_the_agent(
    box: Box, service: Service
) -> None:
    before = up(box, service)
    error = refused(box, service, ngrok_authtoken=WRONG)
    assert error["code"] == "ngrok-107" and "your-authtoken" in error["hint"]
    assert WRONG not in json.dumps(error)
    found = box.run(f"grep -rlF {WRONG} /var/lib/provision", check=False).stdout
    assert found == "" and "***" in box.read(f"{FOLDER}/ngrok.log")
    assert refused(box, service, ngrok_authtoken="")["code"] == "no-token"
    again = up(box, service)
    assert again["changed"] > 0 and again["url"] != before["url"] and ssh(box, again).returncode == 0


def test_a_refused_address_and_a_refused_agent_are_one_sentence_each(
    box: Box, service: Service, mirror: Mirror
) -> None:
    service.refuse_endpoints("ERR_NGROK_8013", "You must add a credit or debit card before you can use TCP endpoints.")
    error = refused(box, service)
    assert error["code"] == "ngrok-8013" and "err_ngrok_8013" in error["hint"]
    service.refuse_sessions("ERR_NGROK_121", 'Your ngrok-agent version "2.3.41" is too old.')
    # The newest agent says it in another way.
    error = refused(box, service, ngrok_agent_path="", ngrok_download_url=mirror.url)
    assert error["code"] == "ngrok-121" and "err_ngrok_121" in error["hint"]


def test_a_service_that_cannot_be_reached_or_trusted_is_one_sentence_each(box: Box, service: Service) -> None:
    assert refused(box, service, ngrok_root_cas="")["code"] == "ngrok-not-trusted"
    nobody = f"127.0.0.1:{free_port()}"
    assert refused(box, service, ngrok_server_addr=nobody)["code"] == "ngrok-unreachable"


def test_bad_input_is_one_sentence_and_puts_nothing_on_the_machine(box: Box, service: Service) -> None:
    box.write("/opt/old", "#!/bin/sh\necho ngrok version 2.2.8\n", mode="755")
    error = refused(box, service, ngrok_agent_path="/opt/old")
    assert error["code"] == "agent-too-old" and error["hint"]
    box.run(f"! test -e {FOLDER}")


def test_on_colab_nothing_is_opened_until_its_terms_are_accepted(box: Box, service: Service) -> None:
    box.write(OPTIONS, json.dumps({"roles": ["ngrok"], **wishes(service)}), mode="600")
    done = box.run(f".venv/bin/python - <<'END'\n{RUN}END", env={"COLAB_RELEASE_TAG": "release-colab"})
    assert "compute units" in done.stderr and json.loads(done.stdout)["error"]["code"] == "declined"
    box.run(f"! test -e {FOLDER}")


def test_a_download_that_is_cut_off_or_does_not_run_is_not_kept(box: Box, service: Service, mirror: Mirror) -> None:
    wish = {"ngrok_agent_path": "", "ngrok_download_url": mirror.url}
    mirror.sent = mirror.data[: len(mirror.data) // 2]
    assert refused(box, service, **wish)["code"] == "cut-off"
    mirror.data = mirror.sent = archive_of("#!/bin/sh\nexit 1\n")
    assert refused(box, service, **wish)["code"] == "agent-does-not-run"
    assert box.run(f"find {FOLDER} /tmp -name 'ngrok*' ! -type d").stdout == ""


def test_an_agent_for_another_machine_is_downloaded_here_and_copied_there(
    box: Box, service: Service, mirror: Mirror
) -> None:
    box.write(
        "/root/inventory",
        (
            f"there ansible_host=127.0.0.1 ansible_port={SSHD_PORT} ansible_python_interpreter=/usr/bin/python3 "
            "ansible_ssh_common_args='-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null'\n"
        ),
    )
    given = wishes(service, ngrok_agent_path="", ngrok_download_url=mirror.url, ngrok_sha256=mirror.sha256)
    result = run(box, "ngrok", on="/root/inventory", **given)
    assert "error" not in result, json.dumps(result) + box.run(f"cat {FOLDER}/ngrok.log || true").stdout
    report = result["hosts"]["there"]["ngrok"]
    box.write("/tmp/known", report["known_hosts"] + "\n")
    assert ssh(box, report).returncode == 0
    assert run(box, "ngrok", on="/root/inventory", **given)["changed"] == 0
    assert box.run("find /tmp ~/.cache -name '*ngrok*'", check=False).stdout == ""


@contextlib.contextmanager
def watched(box: Box) -> Iterator[None]:
    """See that the token is in its two files and nowhere else, all the while and at the end.

    During a run it is in the file in which `provision.run` hands Ansible the options, as well.
    """
    own = {f"{FOLDER}/ngrok.yml", f"{FOLDER}/redact.sed"}
    box.write(WATCH_NAME, WATCH.replace("NEEDLE", TOKEN))
    watch = box.popen(f"exec python3 {WATCH_NAME}")
    assert watch.stdout.readline() == "watching\n"
    try:
        yield
    finally:
        watch.send_signal(signal.SIGTERM)
        found = json.loads(watch.communicate()[0])
    assert found["rounds"] > 1
    assert set(found["left"]) - {OPTIONS} == own and found["modes"] == ["0o600"]
    others = set(found["found"]) - {OPTIONS} - own
    assert [path for path in others if not re.fullmatch(r"/tmp/provision-\w+/env/extravars", path)] == []


def test_the_token_is_in_its_two_files_alone_while_an_address_is_opened_and_afterwards(
    box: Box, service: Service
) -> None:
    box.write(OPTIONS, json.dumps(wishes(service)), mode="600")
    with watched(box):
        said = box.run(
            f"./bootstrap ansible-playbook playbooks/ngrok.yml -vvv -e @{OPTIONS}\n./bootstrap provision status --json"
        )
    assert [line for line in (said.stdout + said.stderr).splitlines() if TOKEN in line] == []


def test_the_token_is_in_its_two_files_alone_while_a_run_fails_and_afterwards(box: Box, service: Service) -> None:
    service.refuse_sessions("ERR_NGROK_108", "Your account is limited, {token}.")
    with watched(box):
        error = run(box, "ngrok", **wishes(service))["error"]
    assert error["code"] == "ngrok-108" and TOKEN not in json.dumps(error)


def test_ctrl_c_leaves_no_agent_and_no_token_behind_and_the_next_run_goes_on(
    box: Box, service: Service, silence: str
) -> None:
    box.write(OPTIONS, json.dumps({"roles": ["ngrok"], **wishes(service, ngrok_server_addr=silence)}), mode="600")
    with watched(box):
        running = box.popen(f".venv/bin/python - <<'END'\n{RUN}END")
        wait_until(lambda: box.run(PROCESSES).stdout)
        running.send_signal(signal.SIGINT)
        said = "".join(running.communicate(timeout=60))
        assert running.returncode != 0 and TOKEN not in said
        # Sooner than it would have been given up.
        wait_until(lambda: box.run(PROCESSES).stdout == "", seconds=8)
        box.run(f"! test -e {STATE}")
    assert ssh(box, up(box, service)).returncode == 0
