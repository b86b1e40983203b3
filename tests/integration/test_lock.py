"""One run at a time: whatever changes this machine waits for what else of this user's does so. Real processes."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from waiting import wait_until

import provision
from plugins.module_utils.provision import file_lock, processes
from plugins.module_utils.provision import lock as utility
from plugins.module_utils.provision.tool import install
from provision.actions.status import Status
from provision.checkup import doctor
from provision.cli.main import main
from provision.engine import content, lock, runner
from provision.errors import ProvisionError
from provision.store import builds

ROOT = content.root()
AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
NOBODY = 65534
# Holds the lock of a place for as long as its standard input is open.
HOLDER = """
import sys
from plugins.module_utils.provision import lock as lock
place, command, *call = sys.argv[1:]
lock.places = lambda: [place]
with lock.held(command):
    print("held", flush=True)
    sys.stdin.read()
"""
# The command line, on content and with a lock of the test's own.
COMMAND = """
import sys
from pathlib import Path
from provision.cli import main
from provision.engine import content, lock
place, root, *words = sys.argv[1:]
content.root = lambda: Path(root)
lock._lock.places = lambda: [place]
sys.exit(main.main(words))
"""
# Counts in a file in a way that goes wrong as soon as two do it at once.
COUNTER = """
import os, sys
from plugins.module_utils.provision import lock as lock
place, path, times = sys.argv[1:]
lock.places, lock._STEP = lambda: [place], 0.001
for _ in range(int(times)):
    with lock.held("count"):
        with open(path) as file:
            number = int(file.read())
        with open(path, "w") as file:
            file.write(str(number + 1))
"""
# What a play does in FOLDER until there is a file `go`.
WORK = "cd FOLDER; echo begin >> log; while ! test -e go; do sleep 0.1; done; echo end >> log"
SITE = (
    f"""
- hosts: all
  gather_facts: false
  tasks:
    - name: Work
      ansible.builtin.shell: "{WORK}"
    - name: Report
      ansible.builtin.set_stats:
"""
    + """
        data: {provision: "{{ {inventory_hostname: {'deps': {'lock': provision_lock}}} }}"}
"""
)


def python(program, *words, **settings):
    """Start a program of ours."""
    settings = {"text": True, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": ROOT, **settings}
    return subprocess.Popen([sys.executable, "-c", program, *map(str, words)], **settings)


@pytest.fixture
def hold(lock_place):
    """Return a function that has another process hold the lock, and returns that process."""
    with contextlib.ExitStack() as stack:

        def begin(command="provision run mrtrix3", place=lock_place):
            process = stack.enter_context(python(HOLDER, place, command))
            stack.callback(process.kill)
            assert process.stdout.readline() == "held\n"
            return process

        yield begin


@pytest.fixture
def work(tmp_path):
    """A folder with content in it whose site playbook writes begin and end into `log`, and ends when there is `go`."""
    for name in ("roles", "plugins"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("playbooks", "inventory"):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / "ansible.cfg", tmp_path)
    shutil.copy(ROOT / "inventory" / "localhost.yml", tmp_path / "inventory")
    (tmp_path / "playbooks/vars").symlink_to(ROOT / "playbooks/vars")
    for name in ("site", "remove"):
        (tmp_path / "playbooks" / f"{name}.yml").write_text(SITE.replace("FOLDER", str(tmp_path)))
    return tmp_path


@pytest.fixture
def command(work, lock_place):
    """Return a function that starts the command line on that content."""
    environment = {**os.environ, "HOME": str(work), "XDG_STATE_HOME": str(work / "state")}
    with contextlib.ExitStack() as stack:

        def begin(*words):
            process = python(COMMAND, lock_place, work, *words, env=environment, stderr=subprocess.PIPE)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield begin


def log(work):
    path = work / "log"
    return path.read_text().split() if path.exists() else []


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


# --- Two runs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", [("run", "deps"), ("remove", "--yes")])
def test_a_second_run_waits_says_for_whom_and_continues(command, work, second):
    first = command("run", "deps", "--json")
    wait_until(lambda: log(work) == ["begin"])
    other = command(*second)
    line = other.stderr.readline()
    assert re.fullmatch(
        rf"Waiting for provision run deps \(process {first.pid}, since \d\d:\d\d:\d\d\), which is .*\n", line
    )
    assert log(work) == ["begin"]
    (work / "go").touch()
    told = json.loads(first.communicate(timeout=60)[0])
    assert told["hosts"]["localhost"]["deps"]["lock"] is True  # so the playbook does not wait for who has started it
    assert other.communicate(timeout=60) and other.returncode == 0
    assert log(work) == ["begin", "end", "begin", "end"]


def test_a_killed_run_lets_the_next_one_begin(command, work, lock_place):
    first = command("run", "deps")
    wait_until(lambda: log(work) == ["begin"])
    second = command("run", "deps")
    assert second.stderr.readline().startswith("Waiting for provision run deps")
    first.kill()
    wait_until(lambda: log(work) == ["begin", "begin"])
    (work / "go").touch()
    assert second.communicate(timeout=60) and second.returncode == 0
    assert list(lock_place.iterdir()) == []


def test_an_interrupted_wait_ends_at_once_and_nothing_was_started(command, work, hold):
    hold()
    process = command("run", "deps")
    assert process.stderr.readline().startswith("Waiting for provision run mrtrix3")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert log(work) == []


@pytest.mark.parametrize("words", [
    ["run", "deps", "--no-wait"], ["run", "deps", "--wait", "1"], ["remove", "--yes", "--no-wait"],
    ["stop", "--no-wait"], ["demo", "--no-wait"], ["store", "prune", "--keep", "9", "--no-wait"],
])  # fmt: skip
def test_who_does_not_wait_is_told_who_is_at_it(hold, words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "run", None)
    process = hold("provision run mrtrix3")
    assert main([*words, "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "locked" and error["log"] is None
    assert f"provision run mrtrix3 (process {process.pid}, since " in error["message"] and error["hint"]


def test_an_import_into_the_store_does_not_wait_either(hold, tmp_path):
    hold()
    archive = tmp_path / "a.tar.zst"
    archive.write_bytes(b"none")
    with pytest.raises(ProvisionError) as caught:
        builds.import_(archive, hashlib.sha256(b"none").hexdigest(), tmp_path / "store", wait=0)
    assert caught.value.code == "locked" and not list(tmp_path.glob("store/*.zst"))


@pytest.mark.parametrize("words", [
    ["run", "deps", "--check"], ["remove", "--check"], ["status"], ["list"], ["describe", "deps"], ["logs"],
    ["store", "ls"], ["store", "verify"], ["completion", "bash"],
])  # fmt: skip
def test_what_only_looks_does_not_wait(hold, words, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(runner, "run", lambda *_, **__: runner.Outcome(0, 0.1, {}, tmp_path / "log"))
    hold()
    begin = time.monotonic()
    assert main([*words, "--json"]) == 0
    assert time.monotonic() - begin < 5 and "Waiting" not in capsys.readouterr().err


@pytest.mark.parametrize(("words", "said"), [
    (["run", "nonsense"], "nonsense"), (["run", "deps", "--wait", "soon"], "soon"), (["stop", "--wait", "-1"], "-1"),
    (["run", "deps", "--wait", "nan"], "nan"), (["remove", "nonsense", "--yes"], "nonsense"),
    (["store", "prune", "--keep", "x"], "x"),
])  # fmt: skip
def test_wrong_usage_is_told_before_any_waiting(hold, words, said, capsys):
    hold()
    begin = time.monotonic()
    assert main(words) == 2
    told = capsys.readouterr().err
    assert said in told and "Waiting" not in told and time.monotonic() - begin < 5


def test_two_threads_of_one_process_take_turns():
    told, order, entered = [], [], threading.Event()

    def first():
        with lock.held("one"):
            entered.set()
            wait_until(lambda: told)
            order.append("one")

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(30)
    with lock.held("two", on_line=told.append):
        order.append("two")
    thread.join()
    assert order == ["one", "two"] and len(told) == 1 and f"process {os.getpid()}" in told[0]


def test_many_at_once_come_in_one_by_one(lock_place, tmp_path):
    (tmp_path / "count").write_text("0")
    counters = [python(COUNTER, lock_place, tmp_path / "count", 40) for _ in range(4)]
    assert [counter.wait(timeout=120) for counter in counters] == [0] * 4
    for counter in counters:
        counter.communicate()
    assert (tmp_path / "count").read_text() == "160"


def test_a_run_on_other_machines_does_not_wait_for_this_one(hold, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "run", lambda *_, **__: runner.Outcome(0, 0.1, {}, tmp_path / "log"))
    (tmp_path / "hosts.yml").write_text("all: {hosts: {node1: {}}}")
    hold()
    assert provision.run("deps", on=tmp_path / "hosts.yml", wait=0).changed == 0


def test_status_and_doctor_say_who_changes_this_machine(hold, monkeypatch):
    process = hold("provision remove sshd")
    found = provision.status()
    assert (found["lock"]["command"], found["lock"]["pid"]) == ("provision remove sshd", process.pid)
    line = f"This machine is being changed by provision remove sshd (process {process.pid}, since "
    assert line in repr(found) and line in found._repr_html_()
    assert doctor.check_lock().found.startswith(line)
    process.communicate()
    assert "lock" not in provision.status() and doctor.check_lock() is None
    assert "changed by" not in repr(Status({"hosts": {}, "store": {}}))


def test_the_display_says_that_it_waits_and_for_how_long(hold):
    process, steps = hold(), []

    def end():
        wait_until(lambda: len(steps) == 2)
        process.stdin.close()

    threading.Thread(target=end).start()
    with lock.held("provision run sshd", on_step=steps.append):
        pass
    first, second, third = steps
    assert first.note.startswith("Waiting for provision run mrtrix3 (process")
    assert [(step.kind, step.task) for step in (second, third)] == [("task", "Waiting"), ("done", "Waiting")]


# --- What holds it ----------------------------------------------------------------------------------------------------


def test_a_child_that_goes_on_does_not_hold_it(lock_place):
    with lock.held("x"):
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
    try:
        assert lock.holder() is None
        with lock.held("y", wait=0):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.parametrize("note", [
    json.dumps({"command": "provision run deps", "pid": 1, "start": 1, "host": "here", "since": 1.0}),
    json.dumps({"command": ["x"], "since": "now"}), json.dumps({"command": "x", "since": 1e300}), "[1]", "\0\xff", "",
])  # fmt: skip
def test_what_a_killed_run_has_noted_or_anything_else_keeps_nobody_out(lock_place, note):
    lock_place.mkdir(mode=0o700)
    (lock_place / "held").write_text(note)
    assert lock.holder() is None
    with lock.held("provision run sshd", wait=0):
        assert lock.holder()["command"] == "provision run sshd"


@pytest.mark.parametrize("note", ["[1]", "\0\xff", '{"command": "x", "since": 1e999}', '{"command": 3}'])
def test_who_holds_it_without_a_note_that_can_be_read_is_another_run(hold, lock_place, note):
    process = hold()
    (lock_place / "held").write_text(note)
    with pytest.raises(ProvisionError) as caught, lock.held("x", wait=0):
        pass
    assert caught.value.code == "locked" and caught.value.message == lock.in_words(lock.holder()) == lock.in_words({})
    process.communicate()


# --- Where it is ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", ["file above it", "file", "link", "link to nothing"])
def test_where_a_folder_cannot_be_used_all_meet_in_the_next(monkeypatch, tmp_path, taken):
    first, second, victim = tmp_path / "a" / "lock", tmp_path / "b" / "lock", tmp_path / "victim"
    victim.mkdir(mode=0o755)
    first.parent.mkdir()
    if taken == "file above it":
        first.parent.rmdir()
        first.parent.touch()
    elif taken == "file":
        first.touch()
    else:
        first.symlink_to(victim if taken == "link" else tmp_path / "nowhere")
    monkeypatch.setattr(utility, "places", lambda: [str(first), str(second)])
    with utility.held("x"):
        assert (second / "held").exists() and list(victim.iterdir()) == [] and not (tmp_path / "nowhere").exists()
        assert mode_of(victim) == 0o755
        assert utility.holder()["command"] == "x"
        with pytest.raises(file_lock.Locked), utility.held("y", 0):
            pass


TAKE = """
import fcntl, os, sys
try:
    fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
except OSError as error:
    sys.exit(type(error).__name__)
print("held", flush=True)
sys.stdin.read()
"""


def as_nobody(program, *words):
    return subprocess.run(
        [shutil.which("python3", path="/usr/bin"), "-IS", "-c", program, *map(str, words)], user=NOBODY, group=NOBODY,
        extra_groups=[], capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd="/", timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def open_place():
    """A folder that all users can enter, as /run and /tmp are."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o1777)
        yield Path(name)


@AS_ROOT
def test_another_user_can_neither_hold_it_nor_take_its_place(open_place, monkeypatch):
    place, next_place = open_place / "lock", open_place / "next"
    monkeypatch.setattr(utility, "places", lambda: [str(place), str(next_place)])
    with utility.held("x"):
        pass
    for path in (place, place / "held"):
        assert "PermissionError" in as_nobody(TAKE, path).stderr
    shutil.rmtree(place)
    squat = "import os, sys; os.mkdir(sys.argv[1], 0o777); open(sys.argv[1] + '/held', 'w')"
    assert as_nobody(squat, place).returncode == 0
    with utility.held("x", 0):
        assert (next_place / "held").exists() and place.stat().st_uid == NOBODY


@AS_ROOT
def test_another_user_cannot_hold_what_a_module_locks(open_place):
    with file_lock.locked(str(open_place / "state.json.lock")):
        pass
    assert "PermissionError" in as_nobody(TAKE, open_place / "state.json.lock").stderr
    pid_file = open_place / "sshd" / "sshd.pid"
    pid_file.parent.mkdir(mode=0o755)
    with processes._alone(str(pid_file)):
        assert "PermissionError" in as_nobody(TAKE, f"{pid_file}.lock").stderr
    # A lock on the folder itself, which everybody can take, is of no concern.
    blocker = subprocess.Popen(
        ["/usr/bin/python3", "-IS", "-c", TAKE, pid_file.parent], user=NOBODY, group=NOBODY, extra_groups=[], cwd="/",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with blocker:
        assert blocker.stdout.readline() == "held\n"
        assert processes.stop(str(pid_file)) is False
        blocker.communicate()


# --- What modules lock ------------------------------------------------------------------------------------------------


@pytest.fixture
def taken(tmp_path):
    """Return a function that has another process hold the lock of a file, and returns that process."""
    with contextlib.ExitStack() as stack:

        def begin(path):
            Path(path).touch(mode=0o600)
            process = stack.enter_context(python(TAKE, path))
            stack.callback(process.kill)
            assert process.stdout.readline() == "held\n"
            return process

        yield begin


def test_a_module_waits_no_longer_than_it_says_and_names_the_holder(taken, tmp_path):
    path = str(tmp_path / "state.json.lock")
    process, begin = taken(path), time.monotonic()
    with pytest.raises(file_lock.Locked, match=rf"{process.pid} \(python"), file_lock.locked(path, 0.5):
        pass
    assert 0.5 <= time.monotonic() - begin < 5


def failing():
    """A module that notes how it fails."""
    told = {}

    def fail_json(**given):
        told.update(given)
        raise SystemExit(1)

    return told, SimpleNamespace(fail_json=fail_json, params={})


def test_starting_and_stopping_a_process_waits_within_bounds_and_says_for_whom(taken, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_PATIENCE", 0.3)
    process = taken(tmp_path / "it.pid.lock")
    told, module = failing()
    with pytest.raises(SystemExit), file_lock.fail_when_locked(module):
        processes.stop(str(tmp_path / "it.pid"))
    assert told["code"] == "locked" and f"process {process.pid}" in told["msg"] and told["hint"]


def test_installing_waits_within_bounds_and_says_for_whom(taken, tmp_path, monkeypatch):
    process = taken(tmp_path / "state.json.lock")
    monkeypatch.setattr(install, "locked", lambda path, seconds: file_lock.locked(path, 0.3))
    told, module = failing()
    module.params.update(state_file=str(tmp_path / "state.json"), state="present", store=None, lock={})
    with pytest.raises(SystemExit):
        install.Tool({"name": "x", "title": "X"}).run(module)
    assert told["code"] == "locked" and f"process {process.pid}" in told["msg"]


# --- ansible-playbook by hand -----------------------------------------------------------------------------------------


PLAY = f"""
- hosts: all
  gather_facts: false
  tasks:
    - provision_probe: {{roles: {{}}}}
    - provision_probe: {{roles: {{}}}}
    - ansible.builtin.shell: "{WORK}"
      run_once: true
      check_mode: false
"""
HOSTS = """
all:
  hosts: {one: {}, two: {}}
  vars: {ansible_connection: local, ansible_python_interpreter: /usr/bin/python3}
"""


@pytest.fixture
def playbook(tmp_path, lock_place):
    """Return a function that starts ansible-playbook on two names of this machine, with a lock of the test's own."""
    pytest.importorskip("ansible")
    # What Python compiles meanwhile has a name for a moment only.
    shutil.copytree(ROOT / "plugins", tmp_path / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "playbooks/vars", tmp_path / "playbooks/vars")
    with (tmp_path / "plugins" / "module_utils" / "provision" / "lock.py").open("a") as file:
        file.write(f"\n\ndef places():\n    return [{str(lock_place)!r}]\n")
    shutil.copy(ROOT / "ansible.cfg", tmp_path)
    (tmp_path / "play.yml").write_text(PLAY.replace("FOLDER", str(tmp_path)))
    (tmp_path / "hosts.yml").write_text(HOSTS)
    environment = {
        **os.environ, "LC_ALL": "C.UTF-8", "HOME": str(tmp_path), "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        "PYTHONUNBUFFERED": "1",  # Ansible leaves it to Python when what it says reaches a pipe
    }  # fmt: skip
    with contextlib.ExitStack() as stack:

        def begin(*words):
            process = subprocess.Popen(
                [Path(sys.executable).parent / "ansible-playbook", "play.yml", "-i", "hosts.yml", *words],
                cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield begin


def test_ansible_playbook_holds_it_until_it_ends_and_a_run_waits(playbook, tmp_path, lock_place):
    process = playbook()
    wait_until(lambda: log(tmp_path) == ["begin"])
    assert lock.holder()["command"] == "ansible-playbook play.yml" and lock.holder()["pid"] == process.pid
    with pytest.raises(ProvisionError) as caught, lock.held("x", wait=0):
        pass
    assert caught.value.code == "locked" and "ansible-playbook play.yml" in caught.value.message
    (tmp_path / "go").touch()
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 0, said
    with lock.held("x", wait=0):  # at once
        pass
    assert list(lock_place.iterdir()) == []


def test_ansible_playbook_waits_and_says_for_whom(playbook, tmp_path, hold):
    (tmp_path / "go").touch()
    holder = hold("provision remove")
    process = playbook()
    said = next(line for line in process.stdout if line.startswith("Waiting for "))
    assert f"provision remove (process {holder.pid}, since" in said and log(tmp_path) == []
    holder.stdin.close()
    assert process.communicate(timeout=60) and process.returncode == 0
    assert log(tmp_path) == ["begin", "end"]


def test_two_of_ansible_playbook_take_turns_and_a_killed_one_is_not_waited_for(playbook, tmp_path):
    first = playbook()
    wait_until(lambda: log(tmp_path) == ["begin"])
    second = playbook()
    assert any(line.startswith("Waiting for ansible-playbook play.yml") for line in second.stdout)
    assert log(tmp_path) == ["begin"]
    first.kill()
    wait_until(lambda: log(tmp_path) == ["begin", "begin"])
    (tmp_path / "go").touch()
    assert second.communicate(timeout=60) and second.returncode == 0


def test_ansible_playbook_fails_with_the_holder_where_it_is_not_to_wait(playbook, tmp_path, hold):
    holder = hold("provision run sshd")
    said = playbook("-e", "provision_wait=0").communicate(timeout=60)[0]
    assert '"code": "locked"' in said and f"process {holder.pid}" in said and log(tmp_path) == []
    said = playbook("-e", "provision_wait=soon").communicate(timeout=60)[0]
    assert '"code": "bad-value"' in said and "'soon'" in said and "Traceback" not in said


@pytest.mark.parametrize("words", [["--check"], ["-e", "provision_lock=true"]])
def test_ansible_playbook_does_not_wait_to_look_or_for_the_run_that_has_started_it(playbook, tmp_path, hold, words):
    (tmp_path / "go").touch()
    hold()
    process = playbook(*words)
    assert process.communicate(timeout=60) and process.returncode == 0


# In a process of its own: who imports Ansible's side has all that follows run as there.
ELSEWHERE = """
from types import SimpleNamespace
from plugins.action.provision_probe import ActionModule
plugin = ActionModule.__new__(ActionModule)
plugin._connection, plugin._task = SimpleNamespace(transport="ssh"), SimpleNamespace(check_mode=False)
print(plugin._take_turn({}))
"""


def test_other_machines_have_locks_of_their_own():
    pytest.importorskip("ansible")
    assert python(ELSEWHERE).communicate()[0] == "{}\n"
