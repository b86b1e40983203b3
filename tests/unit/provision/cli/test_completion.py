"""What the completion of the command line offers, in a real bash."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess

import pytest

from provision.cli import completion
from provision.cli import main as cli
from provision.cli.main import main
from provision.engine import catalog

bash = shutil.which("bash")
needs_bash = pytest.mark.skipif(not bash, reason="there is no bash")

# A line as readline hands it over; the last word is the one that is being written.
ASK = """
COMP_WORDS=({words}) COMP_CWORD={last}
compopt() {{ :; }}
_provision && printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def offered(words, folder="."):
    script = completion.script("bash", cli._parser(None)).text
    ask = ASK.format(words=shlex.join(words), last=len(words) - 1)
    done = subprocess.run([bash, "-uc", script + ask], capture_output=True, text=True, check=True, cwd=folder)
    assert done.stderr == ""
    return [line for line in done.stdout.split("\n") if line]


@needs_bash
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ru", ["run"]),
        ("run mrt", ["mrtrix3"]),
        ("run deps mrt", ["mrtrix3"]),
        ("run mrtrix3 --vers", ["--version"]),
        ("run --check mrtrix3 --vers", ["--version"]),
        ("run mrtrix3 --state ", ["present", "absent"]),
        ("run sshd --state st", ["started", "stopped"]),
        ("run deps mrtrix3 --mrtrix3-st", ["--mrtrix3-state"]),
        ("run deps mrtrix3 --deps-state a", ["absent"]),
        ("run deps --cpu", []),
        ("run mrtrix3 --version ", []),
        ("run mrtrix3 --cpu = nat", ["native"]),
        ("run mrtrix3 --state =", ["present", "absent"]),
        ("store ver", ["verify"]),
        ("store prune --ke", ["--keep"]),
        ("describe mrp", ["mrpeek"]),
        ("sample sh", ["sherbrooke_3shell"]),
        ("sample phantom --fo", ["--folder"]),
        ("remove mrtrix3 --y", ["--yes"]),
        ("remove ss", ["sshd"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("doctor --js", ["--json"]),
        ("--vers", ["--version"]),
        ("demo --data ph", ["phantom"]),
        ("nonsense --", []),
    ],
)
def test_what_may_follow_is_offered(line, expected):
    found = offered(["provision", *line.split(" ")])
    assert [word for word in found if word not in ("--help", "--json") or word in expected] == expected


@needs_bash
def test_all_roles_and_commands_are_offered():
    assert set(catalog.roles()) <= set(offered(["provision", "run", ""]))
    assert {"run", "doctor", "logs", "remove", "completion", "store", "peek"} <= set(offered(["provision", ""]))


@needs_bash
def test_files_are_offered_where_a_path_is_wanted(tmp_path):
    (tmp_path / "my hosts.yml").touch()
    for words in (["run", "mrtrix3", "--on", ""], ["store", "ls", "--store", ""], ["peek", ""]):
        assert "my hosts.yml" in offered(["provision", *words], tmp_path)
    assert "--plane" in offered(["provision", "peek", "--pl"], tmp_path)


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_option_of_every_role_is_in_every_script(shell):
    text = completion.script(shell, cli._parser(None)).text
    for role in catalog.roles().values():
        for option in role.options.values():
            assert option.name.replace("_", "-") in text


def test_zsh_is_told_in_the_first_line_what_is_completed(capsys):
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef provision\n# Completion of provision")


def test_the_command_prints_the_script_or_json(capsys):
    assert main(["completion", "bash"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# Completion of provision") and text.endswith("complete -F _provision provision\n")
    assert main(["completion", "bash", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"shell": "bash", "script": text}
    assert main(["completion", "tcsh"]) == 2
    assert "choose from" in capsys.readouterr().err
