"""One run: nothing leaks from it and nothing outlives it. Real Ansible, playbooks of our own."""

import contextlib
import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from waiting import sleeping, wait_until

from provision.engine import catalog, content, hung, logbook, runner
from provision.engine.inventory import Inventory
from provision.errors import OptionError, ProvisionError

from ..unit.provision.engine.exported import EXPORTED

CONFIG = (content.root() / "ansible.cfg").read_text()
SECRET = f"marker-{secrets.token_hex(8)}"  # which no other process of this machine can name


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder in the place of the project's content; returns a function that writes its site playbook."""
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "inventory").mkdir()
    (tmp_path / "ansible.cfg").write_text(CONFIG)
    inventory = content.root() / "inventory" / "localhost.yml"
    (tmp_path / "inventory" / "localhost.yml").write_text(inventory.read_text())
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(content, "root", lambda: tmp_path)

    def write(tasks):
        text = f"- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}"
        (tmp_path / "playbooks" / "site.yml").write_text(text)
        return tmp_path

    return write


REPORT = """
  - name: Report
    ansible.builtin.set_stats:
      data: {provision: "{{ {inventory_hostname: {'deps': {'python': word, 'count': 3}}} }}"}
"""


def test_what_the_roles_report_comes_back_with_its_types(root):
    root(REPORT)
    outcome = runner.run(["deps"], {"word": "here"})
    assert outcome.hosts == {"localhost": {"deps": {"python": "here", "count": 3}}}
    assert outcome.changed == 0
    assert outcome.log.stat().st_mode & 0o777 == 0o600


HOSTILE = "{{ lookup('pipe', 'touch MARK') }} {% for x in y %} ' \" \\ \n end"


def test_options_and_the_name_of_the_working_folder_are_never_templates(root, tmp_path, monkeypatch):
    hostile = HOSTILE.replace("MARK", str(tmp_path / "ran"))
    folder = tmp_path / "{{ lookup('pipe', 'touch ran') }}"
    folder.mkdir()
    monkeypatch.chdir(folder)
    said = tmp_path / "said"
    root(
        "\n  - name: Say\n    ansible.builtin.copy:\n"
        f"      dest: {said}\n      mode: '0644'\n"
        '      content: "{{ [word, words, names, provision_folder, provision_python] | to_json }}"\n' + REPORT
    )
    given = {"word": hostile, "words": [hostile], "names": {hostile: hostile}}
    runner.run(["deps"], given)
    assert json.loads(said.read_text())[:3] == [hostile, [hostile], {hostile: hostile}]
    assert json.loads(said.read_text())[3] == str(folder)
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.parametrize("name", catalog.roles())
def test_no_option_of_a_role_is_a_template_where_the_role_uses_it(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "{{ lookup('pipe', 'touch ran') }}"))
    hostile = HOSTILE.replace("MARK", str(tmp_path / "ran"))
    free = [option for option in catalog.role(name).options.values() if not option.choices]
    values = {"str": hostile, "path": hostile, "list": [hostile], "dict": {hostile: hostile}}
    given = {option.name: values[option.type] for option in free if option.type in values}
    with contextlib.suppress(ProvisionError):  # some are refused for what they are, which is as well
        runner.run([name], given, check=True)
    assert not list(tmp_path.rglob("ran")) and not (content.root() / "playbooks" / "ran").exists()


def test_nothing_that_is_exported_for_ansible_changes_a_run(root, monkeypatch, tmp_path):
    for variable, value in EXPORTED.items():
        monkeypatch.setenv(variable, value)
    root(REPORT)
    assert runner.run(["deps"], {"word": "x"}).hosts["localhost"]["deps"]["count"] == 3


def test_the_name_of_the_projects_own_folder_is_no_template(root, tmp_path, monkeypatch):
    folder = root(REPORT)
    (folder / "roles" / "one" / "tasks").mkdir(parents=True)
    (folder / "roles" / "one" / "tasks" / "main.yml").write_text(REPORT.replace("\n  ", "\n").lstrip())
    (folder / "playbooks" / "site.yml").write_text("- hosts: all\n  gather_facts: false\n  roles: [one]\n")
    hostile = tmp_path.parent / f"{tmp_path.name} {{{{ lookup('pipe', 'touch ran') }}}}"
    folder.rename(hostile)
    monkeypatch.setattr(content, "root", lambda: hostile)
    monkeypatch.setenv("XDG_STATE_HOME", str(hostile / "state"))
    try:
        assert runner.run(["deps"], {"word": "x"}).hosts["localhost"]["deps"]["count"] == 3
        assert not list(hostile.rglob("ran"))
    finally:
        hostile.rename(folder)


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null/x"])
def test_a_log_that_cannot_be_written_is_a_note_and_the_result_is_returned(root, monkeypatch, place):
    root(REPORT)
    monkeypatch.setenv("XDG_STATE_HOME", place)
    outcome = runner.run(["deps"], {"word": "x"})
    assert outcome.hosts["localhost"]["deps"]["count"] == 3
    # Whoever may not even write to the folder above is told of that.
    named = place if os.geteuid() == 0 else f"/{Path(place).parts[1]} "
    assert outcome.log is None and len(outcome.notes) == 1 and named in outcome.notes[0]


def test_a_failure_whose_log_cannot_be_written_is_still_that_failure(root, monkeypatch):
    root('\n  - name: Break\n    ansible.builtin.fail: {msg: "It broke."}\n')
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    with pytest.raises(ProvisionError) as caught:
        runner.run(["deps"], {})
    assert (caught.value.message, caught.value.log) == ("It broke.", None)


def test_a_module_that_was_killed_is_named_as_that(root):
    root("\n  - name: Die\n    ansible.builtin.shell: kill -9 $PPID\n")
    with pytest.raises(ProvisionError) as caught:
        runner.run(["deps"], {})
    assert caught.value.code == "killed"


def test_ansible_that_was_killed_is_named_as_that_and_leaves_nothing_running(root):
    mark = f"62.{os.getpid()}"
    root(f"\n  - name: Wait\n    ansible.builtin.command: sleep {mark}\n")

    def kill(step):
        if step.kind == "task" and step.task == "Wait":
            wait_until(lambda: sleeping(mark))
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            # Other tests may have left children, too.
            (ansible,) = [pid for pid in children if "ansible-playbook" in Path(f"/proc/{pid}/cmdline").read_text()]
            os.kill(int(ansible), signal.SIGKILL)

    with pytest.raises(ProvisionError) as caught:
        runner.run(["deps"], {}, on_step=kill)
    assert caught.value.code == "killed" and not sleeping(mark)


def test_a_traceback_is_in_the_log_and_not_in_the_error(root, tmp_path):
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "broken.py").write_text("#!/usr/bin/python\n1 / 0\n")
    folder = root("\n  - name: Break\n    broken:\n")
    config = (folder / "ansible.cfg").read_text().replace("library = plugins/modules", "library = library")
    (folder / "ansible.cfg").write_text(config)
    with pytest.raises(ProvisionError) as caught:
        runner.run(["deps"], {})
    assert "ZeroDivisionError" in caught.value.message and "ZeroDivisionError" in caught.value.log.read_text()
    assert "Traceback" not in "".join(caught.value.lines())


FLEET = """
all:
  hosts:
    good: {ansible_connection: local, ansible_python_interpreter: PYTHON}
    bad: {ansible_connection: local, ansible_python_interpreter: PYTHON}
    gone: {ansible_host: 127.0.0.1, ansible_port: 1, ansible_python_interpreter: PYTHON}
"""


@pytest.fixture
def fleet(tmp_path):
    path = tmp_path / "fleet.yml"
    path.write_text(FLEET.replace("PYTHON", sys.executable))
    return path


@pytest.mark.needs("ssh")
def test_of_several_machines_each_error_and_each_result_is_there(root, fleet):
    root("\n  - name: Try\n    ansible.builtin.command: test {{ inventory_hostname }} = good\n" + REPORT)
    with pytest.raises(ProvisionError) as caught:
        runner.run(["deps"], {"word": "x"}, inventory=Inventory(fleet))
    found = caught.value.to_dict()
    assert {host: error["code"] for host, error in found["errors"].items()} == {
        "bad": "failed", "gone": "host-unreachable"
    }  # fmt: skip
    assert found["hosts"] == {"good": {"deps": {"python": "x", "count": 3}}}
    assert {host: one["changed"] for host, one in found["per_host"].items()} == {"bad": 0, "good": 1, "gone": 0}
    assert {host for host, one in found["per_host"].items() if one["failed"]} == {"bad", "gone"}
    assert {"bad", "good", "gone"} <= set(" ".join(caught.value.lines()).replace(":", " ").replace(",", " ").split())


@pytest.mark.parametrize("text", ["[lab]\n", "all:\n  hosts:\n"])
def test_an_inventory_that_matches_no_host_is_an_error(root, tmp_path, text):
    (tmp_path / "hosts").write_text(text)
    root(REPORT)
    with pytest.raises(OptionError) as caught:
        runner.run(["deps"], {"word": "x"}, inventory=Inventory(tmp_path / "hosts"))
    assert caught.value.code in ("no-hosts", "bad-inventory")


def test_signals_that_the_caller_ignores_stay_ignored(root):
    seen = []
    root(REPORT)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        runner.run(["deps"], {"word": "x"}, on_step=lambda step: seen.append(signal.getsignal(signal.SIGHUP)))
        assert set(seen) == {signal.SIG_IGN} == {signal.getsignal(signal.SIGHUP)}
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_failure_is_told_with_sentence_hint_role_task_and_log(root):
    root('\n  - name: Break\n    ansible.builtin.fail: {msg: "It broke.\\nMend it."}\n')
    with pytest.raises(ProvisionError) as caught:
        runner.run(["deps"], {})
    error = caught.value
    assert (error.message, error.hint, error.task, error.host) == ("It broke.", "Mend it.", "Break", "localhost")
    assert "It broke." in error.log.read_text()


def test_what_a_role_says_to_set_is_a_keyword_argument(root, tmp_path):
    tasks = tmp_path / "playbooks/roles/mrtrix3/tasks"
    tasks.mkdir(parents=True)
    (tasks / "main.yml").write_text('- ansible.builtin.fail: {msg: "None.\\nUse mrtrix3_version: any."}\n')
    root("\n  - ansible.builtin.include_role: {name: mrtrix3}\n")
    with pytest.raises(ProvisionError) as caught:
        runner.run(["mrtrix3"], {})
    assert caught.value.hint == "Use version='any'."


def test_a_rescued_failure_is_no_failure(root):
    root(
        "\n  - name: Try\n    block:\n    - name: Break\n      ansible.builtin.fail:\n"
        "    rescue:\n    - name: Mend\n      ansible.builtin.debug:\n" + REPORT
    )
    assert runner.run(["deps"], {"word": "x"}).hosts["localhost"]["deps"]["count"] == 3


def test_a_rescue_that_gives_up_is_told_as_what_it_could_not_mend(root, tmp_path):
    (tmp_path / "library").mkdir()
    answer = {"failed": True, "msg": "It is locked.", "hint": "Wait.", "code": "locked"}
    (tmp_path / "library/held.py").write_text(f"#!/usr/bin/python\n# WANT_JSON\nprint({json.dumps(answer)!r})\n")
    (tmp_path / "ansible.cfg").write_text(CONFIG.replace("plugins/modules", "library"))
    root(
        "\n  - name: Try\n    block:\n    - name: Take it\n      held:\n    rescue:\n"
        "    - name: Give up\n      ansible.builtin.fail: {msg: '{{ ansible_failed_result.msg }}'}\n"
    )
    with pytest.raises(ProvisionError) as caught:
        runner.run(["deps"], {})
    assert (caught.value.code, caught.value.hint, caught.value.task) == ("locked", "Wait.", "Take it")
    (tmp_path / "library/held.py").write_text("#!/usr/bin/python\n# WANT_JSON\nimport os\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(ProvisionError) as caught:
        runner.run(["deps"], {})
    assert (caught.value.code, caught.value.task) == ("killed", "Take it")


def test_a_playbook_that_cannot_be_read_is_one_sentence(root):
    root("\n  - name: What\n    no_such_module_at_all:\n")
    with pytest.raises(ProvisionError) as caught:
        runner.run(["deps"], {})
    assert caught.value.code == "not-started" and "no_such_module_at_all" in caught.value.message
    assert "\n" not in caught.value.message


def test_the_log_has_plain_lines_whatever_is_installed(root, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cowsay").write_text("#!/bin/sh\necho moo\n")
    (tmp_path / "bin" / "cowsay").chmod(0o755)
    monkeypatch.setenv("ANSIBLE_COW_PATH", str(tmp_path / "bin" / "cowsay"))
    root(REPORT)
    assert "TASK [Report] ***" in runner.run(["deps"], {"word": "x"}).log.read_text()


@pytest.fixture
def temporary(monkeypatch):
    """A folder for temporary files; its path is short, because that of a socket of Ansible's in it has 107 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr("tempfile.tempdir", None)
        yield Path(folder)


def test_secrets_are_in_no_argv_environment_log_or_left_file(root, tmp_path, temporary):
    secret = SECRET
    look = tmp_path / "seen"
    root(
        "\n  - name: Look\n    ansible.builtin.shell: "
        f"cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ > {look} 2>/dev/null || true\n"
        '\n  - name: Say\n    ansible.builtin.debug: {msg: "{{ token }}"}\n'
    )
    outcome = runner.run(["deps"], {"token": secret}, secrets=[secret])
    assert look.stat().st_size > 1000
    for path in [look, *(found for place in (tmp_path, temporary) for found in place.rglob("*") if found.is_file())]:
        assert secret.encode() not in path.read_bytes(), path
    assert "***" in outcome.log.read_text()


def test_secrets_are_in_no_error_and_in_nothing_that_is_shown_on_the_way(root):
    secret = SECRET
    root('\n  - name: Refuse\n    ansible.builtin.fail: {msg: "refused {{ token }}\\nnot {{ token }}"}\n')
    shown = []
    with pytest.raises(ProvisionError) as raised:
        runner.run(["deps"], {"token": secret}, secrets=[secret], on_line=shown.append)
    assert (raised.value.message, raised.value.hint) == ("refused ***", "not ***")
    assert any("refused ***" in line for line in shown)
    assert secret not in "".join([*shown, str(raised.value.to_dict()), raised.value.log.read_text()])


def test_what_a_program_said_last_is_told_without_the_secrets(root):
    secret = SECRET
    root('\n  - name: Try\n    ansible.builtin.shell: echo "one"; echo "no {{ token }}" >&2; exit 1\n')
    with pytest.raises(ProvisionError) as raised:
        runner.run(["deps"], {"token": secret}, secrets=[secret])
    assert raised.value.said == ("no ***",)


def test_a_token_of_this_process_is_not_handed_to_its_children(root, tmp_path, monkeypatch):
    monkeypatch.setenv("NGROK_AUTHTOKEN", SECRET)
    look = tmp_path / "seen"
    root(f"\n  - name: Look\n    ansible.builtin.shell: cat /proc/$PPID/environ > {look}; env >> {look}\n")
    runner.run(["deps"], {})
    assert look.stat().st_size > 500 and SECRET not in look.read_text()
    assert os.environ["NGROK_AUTHTOKEN"] == SECRET


def test_nothing_is_left_in_the_temporary_folder_or_the_home(root, tmp_path, temporary):
    root(REPORT)
    runner.run(["deps"], {"word": "x"})
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "home").exists() or list((tmp_path / "home").rglob("*.*")) == []


def test_what_a_killed_run_left_is_deleted_and_a_running_ones_is_not(root, temporary):
    for name in ("killed", "running"):
        (temporary / f"provision-{name}" / "env").mkdir(parents=True)
        (temporary / f"provision-{name}" / "alive").touch()
    with (temporary / "provision-running" / "alive").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root(REPORT)
        runner.run(["deps"], {"word": "x"})
    assert [path.name for path in temporary.glob("provision-*")] == ["provision-running"]


def test_signal_handlers_are_put_back(root):
    root(REPORT)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    runner.run(["deps"], {"word": "x"})
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_an_error_in_what_watches_does_not_leave_ansible_alone(root):
    root(REPORT)

    def broken(step):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        runner.run(["deps"], {"word": "x"}, on_step=broken)


# Has a task go on until its progress has been seen, but not for ever.
UNTIL = "for i in $(seq 600); do test -e SEEN && break; sleep 0.1; done"


@pytest.mark.parametrize("share", [None, 0.25])
def test_work_is_told_from_the_progress_file(root, tmp_path, share):
    told = {"number": 7, "total": 9, "unit": "steps", **({"share": share} if share else {})}
    content, until = json.dumps(json.dumps(told)), UNTIL.replace("SEEN", str(tmp_path / "seen"))
    root(
        "\n  - name: Work\n    ansible.builtin.shell: "
        f"{json.dumps(f'echo {content} > {{{{ provision_progress }}}}; {until}')}\n"
    )
    steps = []

    def watch(step):
        steps.append(step)
        if step.kind == "work":
            (tmp_path / "seen").touch()

    runner.run(["deps"], {}, on_step=watch)
    work = [step for step in steps if step.kind == "work"]
    assert [(step.task, step.number, step.total, step.unit, step.share) for step in work] == [
        ("Work", 7, 9, "steps", share)
    ]


def test_a_working_folder_that_everybody_may_write_to_does_not_matter(root, tmp_path, monkeypatch):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open" / "ansible.cfg").write_text("[defaults]\nfact_path = no\ntransport = nonsense\n")
    monkeypatch.chdir(tmp_path / "open")
    root(REPORT)
    assert runner.run(["deps"], {"word": "x"}).changed == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 42), (signal.SIGTERM, 42), (signal.SIGKILL, -9)])
def test_a_run_that_is_interrupted_or_killed_leaves_no_process(root, number, code):
    mark = f"61.{os.getpid()}"  # a sleep that nobody else sleeps
    folder = root(f"\n  - name: Wait\n    ansible.builtin.command: sleep {mark}\n")
    script = (
        "import sys\nfrom pathlib import Path\nfrom provision.engine import content, runner\n"
        f"content.root = lambda: Path({str(folder)!r})\n"
        "try: runner.run(['deps'], {})\nexcept KeyboardInterrupt: sys.exit(42)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    wait_until(lambda: sleeping(mark))
    process.send_signal(number)
    assert process.wait(timeout=60) == code
    wait_until(lambda: not sleeping(mark), seconds=30 if number == signal.SIGKILL else 0)


# A worker of Ansible's that has to wait for a processor when it is to end its module.
SLOW = """
import os, time

def slow(value, tell=os.killpg):
    def late(*arguments):
        for _ in range(10):
            time.sleep(0.05)
        tell(*arguments)
    os.killpg = late
    return value

class FilterModule:
    def filters(self):
        return {"slow": slow}
"""


def test_an_interrupt_reaches_a_module_whose_worker_is_slow(root, tmp_path):
    mark = f"62.{os.getpid()}"
    folder = root(f"\n  - name: Wait\n    ansible.builtin.command: sleep {{{{ '{mark}' | slow }}}}\n")
    (folder / "playbooks/filter_plugins").mkdir()
    (folder / "playbooks/filter_plugins/slow.py").write_text(SLOW)

    def interrupt():
        wait_until(lambda: sleeping(mark))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    told = []
    with pytest.raises(KeyboardInterrupt):
        runner.run(["deps"], {}, on_step=lambda step: told.append(step.task))
    assert not sleeping(mark)
    assert not [task for task in told if task.startswith("Waiting")]


# What a worker of Ansible's does when memory runs out just as it reports: with the lock of the queue it ends.
DIES = """
import os, signal
from ansible.utils.display import Display

def die(value):
    Display()._final_q._wlock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)

class FilterModule:
    def filters(self):
        return {"die": die}
"""


def test_a_worker_that_is_killed_while_it_reports_does_not_leave_a_run_that_never_ends(root, tmp_path, monkeypatch):
    monkeypatch.setattr(hung, "SECONDS", 1.0)
    (root("\n  - name: Die\n    ansible.builtin.command: echo {{ 1 | die }}\n") / "playbooks/filter_plugins").mkdir()
    (tmp_path / "playbooks/filter_plugins/dies.py").write_text(DIES)
    with pytest.raises(ProvisionError) as raised:
        runner.run(["deps"], {})
    assert raised.value.code == "killed"


# What takes no notice of the end of all that it belongs to, as a package manager at its work; it ends by itself once
# it has been let go.
DEAF = """
import os, signal, sys, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
open(sys.argv[1], "w").close()
while not os.path.exists(sys.argv[1] + ".go"):
    time.sleep(0.05)
time.sleep(0.5)
open(sys.argv[1] + ".ended", "w").close()
"""


@pytest.mark.parametrize("again", [False, True])
def test_what_cannot_be_stopped_in_the_middle_is_waited_for_and_a_second_signal_kills_it(root, tmp_path, again):
    sign = tmp_path / "begun"
    (tmp_path / "deaf.py").write_text(DEAF)
    command = f"setsid {sys.executable} {tmp_path}/deaf.py {sign}"
    root(f"\n  - name: Unpack\n    ansible.builtin.command: {command}\n")
    steps = []

    def take(step):
        steps.append(step)
        if step.task.startswith("Waiting"):
            os.kill(os.getpid(), signal.SIGINT) if again else Path(f"{sign}.go").touch()

    def interrupt():
        wait_until(sign.exists)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        runner.run(["deps"], {}, on_step=take)
    assert Path(f"{sign}.ended").exists() == (not again)
    (told,) = [step.task for step in steps if step.task.startswith("Waiting")]
    assert "python" in told


def test_only_the_newest_logs_are_kept(root, monkeypatch):
    root(REPORT)
    monkeypatch.setattr(logbook, "_KEPT", 2)
    logs = [logbook.write("x", ["deps"])[0] for _ in range(4)]
    assert [log.exists() for log in logs] == [False, False, True, True]
