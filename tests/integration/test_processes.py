"""Processes that outlive what started them, and are ended by their pid file alone: with real ones."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ports import free_port
from waiting import wait_until

from plugins.module_utils.provision import alive
from plugins.module_utils.provision import processes as processes
from provision.engine import content

PATH = {"PATH": os.environ.get("PATH", os.defpath)}
# Accepts connections at the port that it is given, and greets whoever comes.
SERVER = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        connection, _ = server.accept()
        connection.sendall(sys.argv[2].encode())
        connection.close()
"""


class Place:
    """A folder with the pid file and the log of one process."""

    def __init__(self, folder):
        self.pid_file, self.log = str(folder / "run/it.pid"), str(folder / "run/it.log")

    def start(self, *argv, ready=None, environment=PATH, **options):
        return processes.start(
            list(argv),
            pid_file=self.pid_file,
            log=self.log,
            environment=environment,
            ready=ready or self.lasts(0.2),
            **options,
        )

    def lasts(self, seconds):
        """Return a condition: it has lived for so long, and is no longer the copy of us that is to become it."""
        lasting = processes.lasting(seconds)
        return lambda: lasting() and self.program() not in ("", os.readlink("/proc/self/exe"))

    def program(self):
        """Return the path of what runs, nothing if it has ended."""
        try:
            return os.readlink(f"/proc/{self.pid()}/exe")
        except OSError:
            return ""

    def says(self, text):
        """Return a condition: its log has a text."""
        return lambda: text in Path(self.log).read_text()

    def pid(self):
        return json.loads(Path(self.pid_file).read_text())["pid"]

    def alter(self, **fields):
        noted = json.loads(Path(self.pid_file).read_text())
        Path(self.pid_file).write_text(json.dumps({**noted, **fields}))


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    yield place
    if os.path.exists(place.pid_file):
        processes.stop(place.pid_file, grace=0)


@pytest.fixture
def port():
    return free_port()


def open_files(root):
    """Return what a process has open, by the number of the descriptor; nothing if one was closed meanwhile."""
    try:
        return {path.name: os.readlink(path) for path in (root / "fd").iterdir()}
    except FileNotFoundError:
        return {}


def number(path):
    """Return the number that somebody writes into a file, once the line is whole."""
    return int(wait_until(lambda: path.exists() and path.read_text().endswith("\n") and path.read_text()))


def lives(pid):
    return alive.alive(alive.process(pid))


def test_a_process_that_runs_is_left_as_it_is(place):
    assert place.start("sleep", "100")
    pid = alive.running(place.pid_file)
    assert pid and lives(pid)
    assert not place.start("sleep", "100")
    assert alive.running(place.pid_file) == pid


def test_it_outlives_what_started_it_and_a_hangup_of_its_terminal(place, tmp_path):
    starter = tmp_path / "starter.py"
    starter.write_text(
        f"import sys; sys.path.insert(0, {str(content.root())!r})\n"
        "from plugins.module_utils.provision import processes as processes\n"
        f"processes.start(['sleep', '100'], pid_file={place.pid_file!r}, log={place.log!r}, environment={PATH!r},\n"
        "    ready=processes.lasting(0.1))\n"
    )
    # What it would keep open would keep `run` waiting here; and its whole group is hung up on afterwards.
    with subprocess.Popen(
        [sys.executable, starter], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as program:
        assert program.communicate(timeout=60)[0] == b""
    with pytest.raises(ProcessLookupError):
        os.killpg(program.pid, signal.SIGHUP)
    assert alive.process(place.pid())["session"] == place.pid()
    assert lives(place.pid())


def test_it_has_the_environment_it_is_given_and_nothing_else(place, monkeypatch):
    monkeypatch.setenv("TOKEN", "a-secret")
    place.start("sleep", "100", environment={**PATH, "LANG": "C.UTF-8"})
    names = {line.split(b"=")[0] for line in Path(f"/proc/{place.pid()}/environ").read_bytes().split(b"\0") if line}
    assert names == {b"PATH", b"LANG", b"PROVISION_PROCESS"}


def test_it_has_no_terminal_no_open_files_of_ours_and_no_signals_ignored(place):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    try:
        place.start("sleep", "100")
    finally:
        signal.signal(signal.SIGHUP, before)
        os.close(read_end)
        os.close(write_end)
    root = Path(f"/proc/{place.pid()}")
    expected = {"0": "/dev/null", "1": place.log, "2": place.log}
    # A program that is just starting has its libraries open for a moment.
    wait_until(lambda: open_files(root) == expected, seconds=60)
    assert os.readlink(root / "cwd") == "/"
    assert "SigIgn:\t0000000000000000" in (root / "status").read_text()


def test_its_pid_file_and_log_are_its_owners_alone_and_the_log_is_appended_to(place):
    place.start("sh", "-c", "echo first; sleep 100", ready=place.says("first\n"))
    processes.stop(place.pid_file)
    os.chmod(place.log, 0o644)
    place.start("sh", "-c", "echo second >&2; sleep 100", ready=place.says("second\n"))
    assert Path(place.log).read_text() == "first\nsecond\n"
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in (place.pid_file, place.log)] == [0o600, 0o600]


def test_a_log_that_has_grown_large_is_set_aside_and_one_such_is_kept(place):
    Path(place.log).parent.mkdir()
    for _ in range(2):
        Path(place.log).write_text("x" * 1_100_000)
        place.start("sh", "-c", "echo anew; sleep 100", ready=lambda: Path(place.log).read_text() == "anew\n")
        processes.stop(place.pid_file)
    assert Path(place.log).read_text() == "anew\n"
    assert sorted(os.listdir(Path(place.log).parent)) == ["it.log", "it.log.1"]


def test_it_is_ready_when_its_port_accepts(place, port):
    ready = processes.accepting("127.0.0.1", port)
    place.start(sys.executable, "-c", SERVER, str(port), "", ready=ready)
    with socket.create_connection(("127.0.0.1", port), timeout=20):
        assert lives(place.pid())


def test_it_is_ready_when_it_sends_the_banner(place, port):
    ready = processes.accepting("127.0.0.1", port, "SSH-2.0-")
    place.start(sys.executable, "-c", SERVER, str(port), "SSH-2.0-x\r\n", ready=ready)
    assert lives(place.pid())


def test_another_banner_is_not_ready_and_nothing_is_left_running(place, port):
    with pytest.raises(processes.ProcessError) as caught:
        place.start(
            sys.executable,
            "-c",
            SERVER,
            str(port),
            "220 mail",
            ready=processes.accepting("127.0.0.1", port, "SSH-2.0-"),
            deadline=1,
        )
    assert caught.value.code == "process-not-ready" and "1 s" in str(caught.value)
    assert not alive.answers("127.0.0.1", port)
    assert not os.path.exists(place.pid_file)


def test_one_that_ends_is_an_error_with_what_it_said_this_time(place):
    Path(place.log).parent.mkdir()
    Path(place.log).write_text("of another time\n")
    with pytest.raises(processes.ProcessError) as caught:
        place.start("sh", "-c", "echo no such port >&2; exit 3", ready=processes.lasting(60), deadline=90)
    assert caught.value.code == "process-not-started" and "sh " in str(caught.value)
    assert caught.value.lines == ["no such port"]
    assert not os.path.exists(place.pid_file)


def test_a_command_that_is_not_there_is_an_error(place):
    with pytest.raises(processes.ProcessError) as caught:
        place.start("/nonexistent/program")
    (line,) = caught.value.lines
    assert line.endswith("[Errno 2] No such file or directory: '/nonexistent/program'")


def test_what_answers_in_the_place_of_one_that_ended_is_not_taken_for_it(place):
    def ended():
        return wait_until(lambda: not lives(place.pid()))

    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(processes.ProcessError) as caught:
        place.start("sh", "-c", "exit 1", ready=lambda: ended() and alive.answers(*other.getsockname()))
    assert caught.value.code == "process-not-started"


# Starts something that is never ready, and tells its number.
STARTER = """
import json, sys
from plugins.module_utils.provision import processes
def ready():
    print(json.load(open(sys.argv[1]))["pid"], flush=True)
processes.start(["sleep", "100"], pid_file=sys.argv[1], log=sys.argv[2], environment={}, ready=ready)
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_whoever_is_ended_while_starting_it_leaves_nothing_running(place, number):
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, place.pid_file, place.log], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as starter:
        pid = int(starter.stdout.readline())
        starter.send_signal(number)
        starter.communicate(timeout=60)
    assert starter.returncode == -number
    assert not lives(pid) and not os.path.exists(place.pid_file)


def test_an_interrupt_right_after_the_start_leaves_nothing_running(place, monkeypatch):
    started = []

    def launch(*arguments, launch=processes._launch):
        launch(*arguments)
        started.append(place.pid())
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(processes, "_launch", launch)
    with pytest.raises(KeyboardInterrupt):
        place.start("sleep", "100", ready=lambda: False)
    assert not lives(started[0])


def test_an_interrupt_while_it_is_being_ended_leaves_nothing_running(place, monkeypatch):
    started = []

    def interrupted(*arguments, end=processes._signal):
        started.append(place.pid())
        os.kill(os.getpid(), signal.SIGINT)
        end(*arguments)

    monkeypatch.setattr(processes, "_signal", interrupted)
    with pytest.raises(KeyboardInterrupt):
        place.start("sleep", "100", deadline=0, ready=lambda: False)
    assert not lives(started[0])


def test_a_signal_that_is_ignored_changes_nothing(place):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert place.start("sleep", "100", ready=lambda: os.kill(os.getpid(), signal.SIGHUP) is None)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert lives(place.pid())


def test_what_becomes_another_program_at_that_moment_is_ended_as_well(place, tmp_path, monkeypatch):
    # It has no environment then, and its parent has ended.
    place.start("sh", "-c", f"sleep 100 & echo $! > {tmp_path}/child; wait", ready=(tmp_path / "child").exists)
    child = number(tmp_path / "child")
    os.kill(place.pid(), signal.SIGKILL)
    os.waitpid(place.pid(), 0)
    looks = []

    def opened(path, *mode, **options):
        if path == f"/proc/{child}/environ":
            looks.append(path)
            path = os.devnull if len(looks) == 1 else path
        return open(path, *mode, **options)

    monkeypatch.setattr(processes, "open", opened, raising=False)
    assert processes.stop(place.pid_file)
    assert not lives(child)


def test_stopping_ends_its_children_too_and_those_that_ignore_it_after_the_grace(place, tmp_path, monkeypatch):
    apart = f"(setsid sleep 102 & echo $! > {tmp_path}/apart)"
    place.start("bash", "-c", f"trap '' TERM; sleep 101 & {apart}; echo $! > {tmp_path}/child; wait")
    child, apart = (number(tmp_path / name) for name in ("child", "apart"))
    wait_until(lambda: alive.process(apart)["session"] == apart)
    pid, sent, began = place.pid(), [], time.monotonic()
    signalled = processes._signal

    def noted(members, number):
        sent.append((number, time.monotonic() - began))
        signalled(members, number)

    monkeypatch.setattr(processes, "_signal", noted)
    try:
        assert processes.stop(place.pid_file, grace=0.5)
        (first, _), (second, seconds) = sent
        assert (first, second) == (signal.SIGTERM, signal.SIGKILL)
        assert 0.5 <= seconds < 9.5  # those who do not say give it ten
        assert not lives(pid) and not lives(child) and not os.path.exists(place.pid_file)
        assert lives(apart)  # it has made itself a session of its own
    finally:
        os.kill(apart, signal.SIGKILL)


def test_stopping_is_gentle_first(place, tmp_path):
    script = f"trap 'echo bye > {tmp_path}/bye; exit' TERM; echo ready; while :; do sleep 0.05; done"
    place.start("bash", "-c", script, ready=place.says("ready\n"))
    assert processes.stop(place.pid_file, grace=60)
    assert (tmp_path / "bye").read_text() == "bye\n"


def test_what_a_killed_one_left_is_ended(place, tmp_path):
    place.start("bash", "-c", f"sleep 100 & echo $! > {tmp_path}/child; wait")
    child = number(tmp_path / "child")
    os.kill(place.pid(), signal.SIGKILL)
    os.waitpid(place.pid(), 0)
    assert not alive.running(place.pid_file) and lives(child)
    assert processes.stop(place.pid_file)
    assert not lives(child)


def test_a_number_that_was_given_to_another_process_is_neither_taken_for_it_nor_killed(place):
    place.start("sleep", "100")
    processes.stop(place.pid_file)
    with subprocess.Popen(["sleep", "100"], start_new_session=True) as other:
        try:
            for fields in ({"start": 1}, {"boot": "another"}):
                Path(place.pid_file).write_text(
                    json.dumps(
                        {
                            "pid": other.pid,
                            "start": alive.process(other.pid)["start"],
                            "boot": alive.boot_id(),
                            "mark": "x",
                        }
                    )
                )
                assert alive.running(place.pid_file) == other.pid
                place.alter(**fields)
                assert alive.running(place.pid_file) == 0
                assert not processes.stop(place.pid_file)
                assert other.poll() is None
        finally:
            other.kill()


def test_a_session_that_was_given_the_number_of_a_dead_one_is_not_killed(place):
    # Its first process has ended; what is left of it does not carry the mark of the one that was noted.
    place.start("sleep", "100")
    mark = json.loads(Path(place.pid_file).read_text())
    processes.stop(place.pid_file)
    with subprocess.Popen(
        ["bash", "-c", "sleep 100 & echo $!"], start_new_session=True, stdout=subprocess.PIPE, text=True
    ) as other:
        child = int(other.stdout.readline())
        other.wait()
        try:
            Path(place.pid_file).write_text(json.dumps({**mark, "pid": other.pid, "start": 1}))
            assert not processes.stop(place.pid_file)
            assert lives(child)
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("text", ["", "123\n", "[1]", "{}", '{"pid": "x"}'])
def test_a_pid_file_that_was_not_written_by_us_names_nothing(place, text):
    Path(place.pid_file).parent.mkdir()
    Path(place.pid_file).write_text(text)
    assert alive.running(place.pid_file) == 0
    assert not processes.stop(place.pid_file)


def test_stopping_what_was_never_started_makes_no_folder(place):
    assert not processes.stop(place.pid_file)
    assert not os.path.exists(os.path.dirname(place.pid_file))


def test_two_that_start_it_at_once_start_one(place):
    script = (
        f"import sys; sys.path.insert(0, {str(content.root())!r})\n"
        "from plugins.module_utils.provision import processes as processes\n"
        f"print(processes.start(['sleep', '100'], pid_file={place.pid_file!r}, log={place.log!r},\n"
        f"    environment={PATH!r}, ready=processes.lasting(0.3)))\n"
    )
    programs = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sorted(program.communicate(timeout=60)[0].strip() for program in programs) == ["False", "False", "True"]


# --- The module -------------------------------------------------------------------------------------------------------


@pytest.fixture
def module(place, tmp_path):
    """Return a function that runs the Ansible module and returns what it reports."""
    pytest.importorskip("ansible")
    root = content.root()

    def run(check=False, **arguments):
        given = {"pid_file": place.pid_file, "log": place.log, "environment": PATH, **arguments}
        tell = {"dest": str(tmp_path / "result"), "content": "{{ result | to_json }}"}
        tasks = [
            {"detached_process": given, "register": "result", "ignore_errors": True},
            {"copy": tell, "check_mode": False},
        ]
        (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
        options = {"ANSIBLE_CONFIG": str(root / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path / "ansible")}
        subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "play.yml", *(["--check"] if check else [])],
            cwd=tmp_path,
            env={**os.environ, **options, "LC_ALL": "C.UTF-8"},
            capture_output=True,
            check=True,
        )
        return json.loads((tmp_path / "result").read_text())

    return run


def test_the_module_starts_leaves_and_ends_a_process_that_outlives_the_play(module, place):
    assert module(check=True, argv=["sleep", "100"])["changed"] and not os.path.exists(place.pid_file)
    started = module(argv=["sleep", "100"], seconds=0.1)
    assert started["changed"] and lives(started["pid"])
    assert not module(argv=["sleep", "100"])["changed"]
    assert module(state="stopped")["changed"] and not lives(started["pid"])
    assert not module(state="stopped")["changed"]


def test_the_module_tells_in_one_sentence_why_it_did_not_start(module, place):
    failed = module(argv=["sh", "-c", "echo Bind to port 22 failed. >&2; exit 255"])
    assert failed["code"] == "process-not-started" and "Bind to port 22 failed." in failed["msg"]
    assert place.log in failed["hint"]


def test_the_module_refuses_a_port_that_is_taken(module, place):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        failed = module(argv=["sleep", "100"], port=port, option="sshd_port")
    assert failed["code"] == "port-taken" and str(port) in failed["msg"] and "127.0.0.1" in failed["msg"]
    assert "sshd_port" in failed["hint"] and not os.path.exists(place.pid_file)
