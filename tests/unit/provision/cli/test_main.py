"""What the command line promises."""

from __future__ import annotations

import getpass
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from provision import __version__
from provision.actions.remove import Removed
from provision.actions.result import Result
from provision.actions.status import Status
from provision.cli import main as cli
from provision.cli.main import main
from provision.demo import sample as samples
from provision.engine import catalog
from provision.errors import OptionError, ProvisionError

from .doubles import RESULT, help_of, provision, refused


def options_of(calls):
    """Return the role variables of the only call."""
    ((_, options),) = calls
    return {name: value for name, value in options.items() if name not in ("on", "check", "verbose")}


# provision run: what reaches the roles


@pytest.mark.parametrize(
    "line",
    [
        "run mrtrix3 --version any",
        "run --version any mrtrix3",
        "run mrtrix3 --mrtrix3-version any",
        "run --mrtrix3-version=any mrtrix3",
    ],
)
def test_flags_stand_before_or_after_roles_with_short_or_full_names(run, line):
    assert provision(line) == 0
    assert run == [(("mrtrix3",), {"on": None, "check": False, "verbose": False, "mrtrix3_version": "any"})]


def test_ansible_is_started_in_any_case_where_that_is_asked_for(run):
    assert provision("run mrtrix3 --force") == 0
    assert run == [(("mrtrix3",), {"on": None, "check": False, "verbose": False, "force": True})]


def test_several_roles_can_be_run_with_flags_between_them(run):
    assert provision("run deps --check mrtrix3 --on hosts.yml deps -v") == 0
    assert run == [(("deps", "mrtrix3"), {"on": "hosts.yml", "check": True, "verbose": True})]


@pytest.mark.parametrize(
    "flags", ["--commands mrinfo,dwi2fod", "--commands mrinfo --commands dwi2fod", "--commands [mrinfo,dwi2fod]"]
)
def test_lists_are_repeated_or_comma_separated(run, flags):
    assert main(["run", "mrtrix3", *flags.split()]) == 0
    assert options_of(run) == {"mrtrix3_commands": ["mrinfo", "dwi2fod"]}


def test_values_get_the_types_of_the_role(run):
    assert provision("run mrtrix3 --jobs 2 --version 3.0") == 0
    assert options_of(run) == {"mrtrix3_jobs": 2, "mrtrix3_version": "3.0"}


@pytest.mark.parametrize(("flag", "value"), [("--ask", True), ("--no-ask", False)])
def test_truth_values_are_flags_and_their_opposites(made_up_roles, run, flag, value):
    assert provision(f"run ngrok {flag}") == 0
    assert options_of(run) == {"ngrok_ask": value}


def test_a_flag_is_read_as_the_role_named_takes_it(made_up_roles, run):
    assert provision("run ngrok --ask") == 0
    assert provision("run --ask twice other") == 0
    assert [options["ngrok_ask"] for _, options in run[:1]] == [True]
    assert [options["other_ask"] for _, options in run[1:]] == ["twice"]


# provision run: secrets


def test_a_secret_is_read_from_standard_input(made_up_roles, run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("sesame\n"))
    monkeypatch.setattr(getpass, "getpass", lambda prompt: pytest.fail("asked in vain"))
    assert provision("run ngrok --token") == 0
    assert options_of(run) == {"ngrok_token": "sesame"}


def test_a_secret_is_asked_for_in_a_terminal(made_up_roles, run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", type("Terminal", (io.StringIO,), {"isatty": lambda self: True})())
    monkeypatch.setattr(getpass, "getpass", lambda prompt: f"typed after {prompt}")
    assert provision("run ngrok --token") == 0
    assert options_of(run) == {"ngrok_token": "typed after token: "}


@pytest.mark.parametrize("words", ["--token sesame", "--token=sesame"])
def test_a_secret_on_the_command_line_is_refused_and_not_shown(made_up_roles, run, capsys, words):
    assert main(["run", "ngrok", *words.split()]) == 2
    assert not run
    said = capsys.readouterr()
    assert "token" in said.err and "sesame" not in said.err + said.out


# What is printed


def test_the_result_is_told_in_a_line(run, capsys):
    assert main(["run", "mrtrix3"]) == 0
    assert capsys.readouterr().out.endswith("mrtrix3 3.0.8 ready in 2.1 s (package) - nothing changed\n")


@pytest.mark.parametrize("line", ["run mrtrix3 --json", "demo --json", "status --json", "sample --json"])
def test_json_is_all_there_is_on_standard_output(run, demo, status, sample, capsys, line):
    told = {"run": RESULT.to_dict(), "demo": {"passed": True}, "status": status.returns,
            "sample": sample.returns.to_dict()}  # fmt: skip
    assert provision(line) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == told[line.split()[0]]
    assert said.out.count("\n") == 1
    assert said.err == "a word on standard output\n"


def test_a_check_says_that_nothing_has_been_changed(run, capsys):
    assert provision("run mrtrix3 --check") == 0
    assert capsys.readouterr().err == "This was only a check: nothing was changed.\n"
    assert provision("run mrtrix3") == 0
    assert capsys.readouterr().err == ""


def test_a_failure_tells_what_to_do_and_where_it_was(run, capsys):
    run.raises = ProvisionError(
        "The disk is full.", hint="Free some.", role="deps", task="Install", host="node1", log=Path("a.log")
    )
    assert main(["run", "deps"]) == 1
    assert capsys.readouterr().err == (
        "Error: The disk is full.\nFree some.\nAt: role deps, task Install, host node1\nLog: a.log\n"
    )


def test_what_a_role_says_to_set_is_a_flag_on_every_machine(run, capsys):
    one, two = (
        ProvisionError("None.", hint="Use version='any'.", role="mrtrix3", host=host, code="no-origin")
        for host in ("node1", "node2")
    )
    one.errors = {"node1": one, "node2": two}
    run.raises = one
    assert main(["run", "mrtrix3", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert {host: error["hint"] for host, error in told["errors"].items()} == dict.fromkeys(
        ("node1", "node2"), "Use --version any."
    )


def test_a_failure_says_no_more_than_it_knows(run, capsys):
    run.raises = ProvisionError("The disk is full.")
    assert main(["run", "deps"]) == 1
    assert capsys.readouterr().err == "Error: The disk is full.\n"


@pytest.mark.parametrize(
    ("raised", "exit_code", "code"),
    [
        (ProvisionError("Broken.", code="killed"), 1, "killed"),
        (OptionError("No inventory."), 2, "usage"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_failure_as_json_is_on_standard_output_with_its_exit_code(run, capsys, raised, exit_code, code):
    run.raises = raised
    assert main(["run", "deps", "--json"]) == exit_code
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == code and str(raised) in error["message"]


def test_an_interrupted_run_says_that_it_goes_on_from_there(run, capsys):
    run.raises = KeyboardInterrupt()
    assert main(["run", "deps"]) == 130
    assert len(capsys.readouterr().err.splitlines()) == 1


# Wrong usage


@pytest.mark.parametrize(
    ("line", "code", "values"),
    [
        ("", "usage", ["run, list,"]),
        ("rnu mrtrix3", "usage", ["'rnu'", "'run'", "run, list,"]),
        ("--verison", "no-option", ["--verison", "provision", "'--version'"]),
        ("--check run mrtrix3", "usage", ["--check"]),
        ("run", "usage", ["deps, mrtrix3"]),
        ("run mrtrix", "no-role", ["'mrtrix'", "'mrtrix3'", "deps, mrtrix3"]),
        ("run mrtrix3 --vresion 3", "no-option", ["--vresion", "mrtrix3", "'--version'", "--version, --"]),
        ("run --vresion=3 mrtrix3", "no-option", ["'--vresion'", "mrtrix3", "'--version'"]),
        ("run mrtrix3 --chekc", "no-option", ["--chekc", "mrtrix3", "'--check'"]),
        ("run --chekc", "no-option", ["--chekc", " run", "'--check'"]),
        ("run mrtrix3 --vers 3", "no-option", ["'--vers'", "mrtrix3"]),
        ("run deps --version 3", "no-option", ["--version", "deps"]),
        ("run deps mrtrix3 --state absent", "ambiguous", ["--state", "--deps-state", "--mrtrix3-state"]),
        ("run mrtrix3 --version", "usage", ["--version", "provision run --help"]),
        ("run mrtrix3 --jobs many", "bad-value", ["--jobs", "'many'"]),
        ("run mrtrix3 --cpu x86-64v3", "bad-value", ["--cpu", "'x86-64v3'", "'x86-64"]),
        ("run deps --groups run,biuld", "bad-value", ["--groups", "'biuld'"]),
        ("describe mrtrix", "no-role", ["'mrtrix'"]),
        ("list deps", "usage", ["'deps'", "`provision list` takes none"]),
        ("logs 1 2", "usage", ["'2'", "`provision logs` takes only N"]),
        ("demo --sed 1", "no-option", ["'--sed'", "demo", "'--seed'"]),
        ("demo --size 3,4", "usage", ["--size", "'3,4'", "48,48,20"]),
        ("demo --size 3,4,0", "usage", ["--size", "'3,4,0'", "48,48,20"]),
        ("demo --data phanton", "usage", ["--data", "'phanton'", "phantom"]),
        ("sample --fodler=x", "no-option", ["'--fodler'", "sample", "'--folder'"]),
        ("status --jsno", "no-option", ["--jsno", "status", "'--json'"]),
    ],
)
def test_wrong_usage_is_explained_in_a_sentence_and_nothing_is_started(run, demo, status, capsys, line, code, values):
    refused(line, code, values, capsys)
    assert not run and not demo and not status


def test_wrong_usage_is_json_when_json_is_asked_for(capsys):
    assert provision("run mrtrix3 --vresion 3 --json") == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "no-option" and "--vresion" in error["message"] and "'--version'" in error["hint"]


# Letting in, and stopping


def test_what_is_stopped_is_told(stop, capsys):
    assert provision("stop --on hosts.yml") == 0
    assert stop == [((), {"on": "hosts.yml"})]
    assert capsys.readouterr().out.endswith("sshd stopped in 0.9 s - 1 change\n")
    stop.returns = Result(0, 0.0, {})
    assert provision("stop") == 0
    assert capsys.readouterr().out.endswith("Nothing was running.\n")


def test_status_tells_how_to_get_in_and_what_has_ended(status, capsys):
    sshd = {"state": "started", "works": True, "command": "ssh -p 2222 root@node1", "host": "node1"}
    lost = {"state": "started", "works": False, "problem": "it has ended", "command": "ssh -p 1 root@elsewhere"}
    status.returns = Status({"hosts": {"localhost": {"sshd": sshd, "ngrok": lost}}})
    assert provision("status") == 0
    said = capsys.readouterr().out
    assert "\nsshd   ready\n" in said and "\nngrok  does not run  it has ended\n" in said
    assert "ssh -p 2222 root@node1" in said and "elsewhere" not in said


# The other commands


def test_the_version_is_told(capsys):
    assert help_of("--version", capsys) == f"provision {__version__}\n"


def test_list_has_a_line_for_each_role(capsys):
    lines = help_of("list", capsys).splitlines()
    assert [line.split()[0] for line in lines] == list(catalog.roles())


def test_describe_tells_all_of_a_role(capsys):
    text = " ".join(help_of("describe deps", capsys).split())
    for option in catalog.role("deps").options.values():
        assert f"{option.name} ({option.kind}" in text
        assert " ".join(catalog.plain(option.description).split()) in text
    assert "default: run, build; choices: run, build" in text


def test_demo_passes_on_what_was_given_and_nothing_else(demo, capsys):
    assert main(["demo"]) == 0
    assert provision("demo --folder out --data phantom --size 24,24,12 --snr 30 --seed 1 --version 3.0.8") == 0
    given = {"folder": "out", "data": "phantom", "size": (24, 24, 12), "snr": 30.0, "seed": 1, "version": "3.0.8"}
    assert demo == [((), {}), ((), given)]
    assert capsys.readouterr().out.endswith("found the phantom's fibres\n")


def test_demo_offers_the_data_that_there_are():
    choices = cli._parser("demo")._subparsers._group_actions[0].choices["demo"]
    (data,) = [action for action in choices._actions if action.dest == "data"]
    assert set(data.choices) == set(samples.NAMES)


@pytest.mark.parametrize(
    ("line", "given"),
    [("sample", ((None,), {})), ("sample phantom", (("phantom",), {})),
     ("sample --folder out", ((None,), {"folder": "out"})),
     ("sample --folder out sherbrooke_3shell", (("sherbrooke_3shell",), {"folder": "out"}))],
)  # fmt: skip
def test_data_are_given_as_they_were_asked_for_and_told_with_their_files(sample, capsys, line, given):
    assert provision(line) == 0
    assert sample == [given]
    assert "phantom: /data/dwi.nii.gz with gradients in /data/bvecs and /data/bvals\n" in capsys.readouterr().out


def test_the_files_of_data_are_told_to_programs_with_what_commands_take(sample, capsys):
    assert provision("sample phantom --json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "name": "phantom", "image": "/data/dwi.nii.gz", "bvecs": "/data/bvecs", "bvals": "/data/bvals",
        "arguments": "/data/dwi.nii.gz -fslgrad /data/bvecs /data/bvals",
    }  # fmt: skip


def test_sample_offers_the_data_that_there_are(capsys):
    assert set(samples.SAMPLES) <= set(re.findall(r"\w+", help_of("sample --help", capsys)))
    assert provision("sample phantmo") == 2
    assert f"Samples: {', '.join(samples.SAMPLES)}." in capsys.readouterr().err


def test_status_has_a_line_for_each_role(status, capsys):
    assert main(["status"]) == 0
    assert capsys.readouterr().out.endswith("\nmrtrix3  3.0.8 ready (package)\n")


def test_status_of_a_bare_machine_says_so(status, capsys):
    status.returns = Status({"hosts": {"localhost": {}}})
    assert main(["status"]) == 0
    assert capsys.readouterr().out.endswith("Nothing is installed.\n")


# The process


def test_the_package_can_be_run_as_a_module():
    done = subprocess.run([sys.executable, "-m", "provision", "run", "mrtrix"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ") and "'mrtrix'" in done.stderr


def test_a_closed_pipe_ends_it_without_a_complaint():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run([sys.executable, "-m", "provision", "list"], stdout=closed, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, b"")


def test_help_and_version_start_without_anything_heavy():
    code = """if True:
        import sys
        from provision.cli.main import main
        main(["--version"]), main(["run", "mrtrix3", "--help"])
        print("heavy:", *{name.split(".")[0] for name in sys.modules} & {*sys.argv[1:]})
    """
    heavy = ["ansible", "ansible_runner", "rich", "numpy", "jinja2", "dipy", "nibabel", "matplotlib"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["heavy:"]


def command(*words, **options):
    return subprocess.run([sys.executable, "-m", "provision", *words], text=True, check=False, **options)


def test_a_mistake_of_ours_is_one_sentence_with_a_code_and_its_traceback_in_a_log(run, capsys):
    run.raises = KeyError("x")
    assert provision("run mrtrix3 --json") == cli.FAILED
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "internal" and "Traceback" not in error["message"]
    assert "Traceback" in Path(error["log"]).read_text()


def test_what_cannot_be_printed_is_an_error_and_no_traceback():
    with Path("/dev/full").open("w") as full:
        done = command("list", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == cli.FAILED
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_progress_that_cannot_be_written_takes_no_result_away(run, monkeypatch, capsys):
    class Full:
        def write(self, *_text):
            raise OSError(28, "No space left on device")

        flush = fileno = write

    monkeypatch.setattr(sys, "stderr", Full())
    assert provision("run mrtrix3 --check") == cli.DONE
    assert "mrtrix3 3.0.8 ready" in capsys.readouterr().out
    assert isinstance(sys.stderr, Full)


def test_how_children_end_is_heard_where_the_caller_did_not_want_to():
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        main(["list"])
        assert subprocess.run(["false"], check=False).returncode == 1
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_that_are_closed_do_not_matter(closed, state_place):
    line = f"exec {sys.executable} -m provision list {closed}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == cli.DONE and "Error" not in done.stderr
    assert not list(state_place.rglob("*error.log"))


@pytest.fixture
def remove(monkeypatch):
    calls = []

    def called(*roles, **options):
        calls.append((roles, options))
        return Removed(0, 0.1, {})

    monkeypatch.setattr("provision.remove", called)
    return calls


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("answer", ["no\n", "\n", "", "y\n"])
def test_without_a_typed_yes_nothing_is_removed(monkeypatch, remove, capsys, answer):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main(["remove", "mrtrix3", "--json"]) == 2
    said = capsys.readouterr()
    assert "mrtrix3" in said.err and json.loads(said.out)["error"]["code"] == "declined"
    assert remove == []


def test_where_nobody_can_be_asked_nothing_is_removed(monkeypatch, remove, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    assert main(["remove", "--json"]) == 2 and remove == []
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "declined" and "--yes" in error["hint"]


@pytest.mark.parametrize(
    ("line", "typed"), [("remove sshd", "yes\n"), ("remove sshd --yes", ""), ("remove --yes sshd", "")]
)
def test_a_yes_removes(monkeypatch, remove, line, typed):
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert main(line.split()) == 0
    assert remove == [(("sshd",), {"on": None, "check": False, "verbose": False})]


def test_a_look_needs_no_yes(monkeypatch, remove):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["remove", "--check"]) == 0 and remove[0][1]["check"]
