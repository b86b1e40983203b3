"""What a shell is offered at the press of the key, and that asking for it does nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from argcomplete import CompletionFinder

from provision.cli import completion
from provision.cli.main import SHELLS, main
from provision.engine import catalog

# Where bash ends a word as well, besides at a space.
BREAKS = " \t\n\"'><=;|&(:"


def environment(line, shell, output):
    """The variables with which a shell asks what may follow on a line, by argcomplete's own script."""
    line = f"provision {line}"
    return {
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_SHELL": shell, "_ARGCOMPLETE_STDOUT_FILENAME": str(output),
        "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SUPPRESS_SPACE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_COMP_WORDBREAKS": BREAKS if shell == "bash" else "",
    }  # fmt: skip


@pytest.fixture
def offered(monkeypatch, tmp_path):
    """Return what may follow on a line."""
    # It would take the descriptor 9 of the tests for its own.
    monkeypatch.setattr(CompletionFinder, "_init_debug_stream", lambda _: None)

    def ask(line, shell="bash"):
        output = tmp_path / "output"
        output.unlink(missing_ok=True)
        for name, value in environment(line, shell, output).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as end:
            main([])
        assert end.value.code == 0
        return [word.partition(":")[0] if shell == "zsh" else word for word in output.read_text().splitlines()]

    return ask


def flag(name):
    return f"--{name.replace('_', '-')}"


# What is offered


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ru", ["run"]),
        ("run mrt", ["mrtrix3"]),
        ("run deps mrt", ["mrtrix3"]),
        ("run deps --check mrt", ["mrtrix3"]),
        ("run mrtrix3 --vers", ["--version"]),
        ("run --check mrtrix3 --vers", ["--version"]),
        ("run --check --ori", []),
        ("run mrtrix3 --state ", ["present", "absent"]),
        ("run sshd --state st", ["started", "stopped"]),
        ("run deps mrtrix3 --mrtrix3-st", ["--mrtrix3-state"]),
        ("run deps mrtrix3 --deps-state a", ["absent"]),
        ("run mrtrix3 mrpeek --provision-st", ["--provision-store"]),
        ("run deps --cpu", []),
        ("run mrtrix3 --version 3.0.", [f"3.0.{patch}" for patch in range(8, -1, -1)]),
        ("run mrtrix3 --version a", ["any"]),
        ("run deps mrtrix3 --mrtrix3-version 3.0.8", ["3.0.8"]),
        ("run mrpeek --version ", []),
        ("peek a.nii --colourmap vi", ["viridis"]),
        ("peek a.nii --overlay-colourmap coo", ["cool", "coolwarm"]),
        ("glyphs a.mif --plane co", ["coronal"]),
        ("glyphs a.mif --kind ", ["fod", "tensor"]),
        ("tracks a.tck --plane s", ["sagittal"]),
        ("qc a.mif --bv", ["--bvals", "--bvecs"]),
        ("store ver", ["verify"]),
        ("store prune --ke", ["--keep"]),
        ("describe mrp", ["mrpeek"]),
        ("sample sh", ["sherbrooke_3shell"]),
        ("sample phantom --fo", ["--folder"]),
        ("remove mrtrix3 --y", ["--yes"]),
        ("remove mrtrix3 ss", ["sshd"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("doctor --js", ["--json"]),
        ("doctor ", []),
        ("doctor --fo", ["--for", "--forks"]),
        ("doctor --for dwib", ["dwibiascorrect"]),
        ("doctor --for dwibiascorrect ", ["ants", "fsl"]),
        ("doctor --for dwibiascorrect a", ["ants"]),
        ("doctor --for dwibiascorrect ants ", []),
        ("doctor --for dwifslpreproc ", []),
        ("--vers", ["--version"]),
        ("demo --data ph", ["phantom"]),
    ],
)
def test_what_may_follow_is_offered(offered, line, expected, shell):
    assert offered(line, shell) == expected


def test_a_value_behind_an_equals_sign_is_offered_as_each_shell_has_it(offered):
    # bash has a word of its own behind the sign, and the others have not.
    assert offered("run mrtrix3 --cpu=nat", "bash") == ["native"]
    assert offered("run mrtrix3 --cpu=nat", "zsh") == offered("run mrtrix3 --cpu=nat", "fish") == ["--cpu=native"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_builds_of_the_store_are_offered(offered, tmp_path, shell):
    for name in ("mrtrix3-3.0.8-debian12.tar.zst", "mrpeek-1.tar.zst", "notes.txt"):
        (tmp_path / name).touch()
    assert offered(f"store export --store {tmp_path} mrt", shell) == ["mrtrix3-3.0.8-debian12"]


def test_all_roles_and_commands_are_offered(offered):
    assert offered("run ") == offered("describe ") == offered("remove ") == list(catalog.roles())
    assert {"run", "doctor", "logs", "remove", "completion", "store", "peek"} <= set(offered(""))


@pytest.mark.parametrize("name", catalog.roles())
def test_behind_a_role_all_its_flags_are_offered_and_those_of_no_other(offered, name):
    options = catalog.role(name).options.values()
    every_run = offered("run -")
    found = [word for word in offered(f"run {name} --") if not word.startswith("--no-") and word not in every_run]
    assert found == [flag(option.short) for option in options]


def test_behind_several_roles_the_flags_have_their_full_names(offered):
    found = set(offered("run deps mrtrix3 sshd --"))
    for option in (option for name in ("deps", "mrtrix3", "sshd") for option in catalog.role(name).options.values()):
        assert flag(option.name) in found
    assert "--state" not in found and "--mrpeek-state" not in found


def test_what_a_new_machine_is_to_run_is_offered_as_for_a_run(offered):
    assert "mrtrix3" in offered("cloud-init ")
    assert offered("cloud-init mrtrix3 --cpu ") == offered("run mrtrix3 --cpu ")
    assert offered("cloud-init ngrok --sha") == ["--sha256"] and offered("cloud-init ngrok --ngrok-s") == [
        "--ngrok-sha256"
    ]


def test_a_flag_that_is_true_or_false_is_offered_with_its_opposite(offered, made_up_roles):
    assert offered("run ngrok --ask") == ["--ask", "--ask-become-pass"] and offered("run ngrok --no-a") == ["--no-ask"]


@pytest.mark.parametrize("name", catalog.roles())
def test_the_choices_of_all_options_are_offered(offered, name):
    for option in (option for option in catalog.role(name).options.values() if option.choices):
        assert offered(f"run {name} {flag(option.short)} ") == list(map(str, option.choices))


def test_other_shells_than_bash_are_told_what_a_word_is_for(offered, monkeypatch, tmp_path):
    monkeypatch.setenv("_ARGCOMPLETE_DFS", "\t")
    (found,) = offered("run mrt", "fish")
    assert found == f"mrtrix3\t{catalog.role('mrtrix3').short_description}"


PATHS = ["run mrtrix3 --on ", "store ls --store ", "peek ", "peek -o ", "run ngrok --agent-path "]


@pytest.mark.skipif(not shutil.which("bash"), reason="argcomplete has bash find the files")
@pytest.mark.parametrize("line", PATHS)
def test_files_are_offered_to_fish_where_a_path_is_wanted(offered, line, monkeypatch, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "my hosts.yml").touch()
    monkeypatch.chdir(tmp_path / "there")
    assert offered(line, "fish") == offered(f"{line}my", "fish") == ["my hosts.yml"]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize("line", PATHS)
def test_other_shells_complete_files_themselves(offered, capsys, line, shell):
    assert offered(line, shell) == []
    assert ("_files" if shell == "zsh" else "-o default") in completion.script(shell).text


# What else it does: nothing


def asked(line, tmp_path, shell="fish", code="from provision.cli.main import main; main([])", **variables):
    """Start a process as a shell does when it asks what may follow."""
    state = {"XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path / "home")}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environment(line, shell, tmp_path / "output"), **state, **variables},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({}, 0),
        ({"COMP_LINE": "provision 'ru", "COMP_POINT": "13"}, 0),
        ({"COMP_LINE": "provision run nonsense --vers"}, 0),
        ({"COMP_POINT": "none"}, 1),
        ({"PATH": "/none"}, 1),
    ],
)
def test_it_prints_and_writes_nothing_and_waits_for_no_input(tmp_path, variables, code):
    process = asked("run --on ", tmp_path, **variables)
    assert process.wait(timeout=60) == code
    assert process.stdout.read() == process.stderr.read() == ""
    assert {path.name for path in tmp_path.iterdir()} <= {"output"}


def test_it_ends_at_an_interrupt_and_prints_nothing(tmp_path):
    bash = tmp_path / "bin" / "bash"
    bash.parent.mkdir()
    bash.write_text(f"#!/bin/sh\n: > {tmp_path}/asked\nexec sleep 600\n")
    bash.chmod(0o755)
    process = asked("run --on ", tmp_path, PATH=f"{bash.parent}:{os.environ['PATH']}")
    while not (tmp_path / "asked").exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 1
    assert process.stdout.read() == process.stderr.read() == ""


def test_it_starts_without_anything_heavy(tmp_path):
    code = """if True:
        import sys
        from provision.cli.main import main
        try:
            main([])
        finally:
            print(*{name.split(".")[0] for name in sys.modules})
    """
    out, _ = asked("run mrtrix3 --orig", tmp_path, code=code).communicate(timeout=60)
    assert (tmp_path / "output").read_text().startswith("--origin")
    assert not {"ansible", "ansible_runner", "rich", "numpy", "jinja2", "dipy", "nibabel", "pyngrok"} & set(out.split())


# The scripts


def test_zsh_hands_over_the_command_alone_and_not_what_comes_before_it():
    assert "COMP_LINE=" in completion.script("zsh").text and "$BUFFER" not in completion.script("zsh").text


def test_zsh_is_told_in_the_first_line_what_is_completed(capsys):
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef provision\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_command_prints_the_script_or_json(capsys, shell):
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert "provision" in text
    assert main(["completion", shell, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"shell": shell, "script": text}


def test_there_is_no_script_for_another_shell(capsys):
    assert main(["completion", "tcsh", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"
