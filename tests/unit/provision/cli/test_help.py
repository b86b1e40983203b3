"""What the help of the commands tells."""

import argparse
import itertools
import re

import pytest

from provision.checkup.diagnosis import Diagnosis
from provision.cli import main as cli
from provision.cli.main import main
from provision.engine import catalog

from .doubles import help_of


def test_help_of_a_role_shows_all_its_options_and_those_of_no_other(capsys):
    text = " ".join(help_of("run mrtrix3 --help", capsys).split())
    for option in catalog.role("mrtrix3").options.values():
        assert f"--{option.short.replace('_', '-')} " in text
        assert " ".join(catalog.plain(option.description).split()) in text
        for choice in option.choices:
            assert choice in text
    assert "(default: auto)" in text and "{auto,present,store,archive,conda,package,source}" in text
    assert "--mrtrix3-version" in text and "--groups" not in text and "--lock-timeout" not in text


def test_help_of_several_roles_shows_names_that_can_be_written(capsys):
    text = help_of("run -h deps mrtrix3", capsys)
    assert "--deps-state" in text and "--mrtrix3-state" in text and " --state" not in text


def test_an_option_that_roles_share_is_shown_once_in_their_help(capsys):
    text = help_of("run mrtrix3 mrpeek --help", capsys)
    assert text.count("\n  --store ") == 1 and "--mrpeek-state" in text


def test_help_shows_percent_signs_and_opposites(made_up_roles, capsys):
    text = help_of("run ngrok other --help", capsys)
    assert "50 %" in text and "--ngrok-ask, --no-ngrok-ask" in text and "(default: true)" in text


def test_help_without_a_role_lists_the_roles(capsys):
    text = help_of("run --help", capsys)
    for name in catalog.roles():
        assert f"\n{name} " in text


def commands_of(parser, words=()):
    """The words of each command and of each of its own commands, none for `provision` alone."""
    yield words
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from commands_of(command, (*words, name))


HELPS = [*(" ".join(words) for words in commands_of(cli._parser(None))), "run deps", "run deps mrtrix3"]


def test_all_commands_are_found():
    assert len(HELPS) > 18 and {"", "run", "store", "store ls", "peek", "logs"} < set(HELPS)


@pytest.mark.parametrize("line", HELPS)
def test_help_documents_the_exit_codes(capsys, line):
    _, _, codes = help_of(f"{line} --help", capsys).partition("\nexit codes:\n")
    assert re.findall(r"^  (\d+) +\S", codes, re.M) == ["0", "1", "2", "130"]


@pytest.mark.parametrize("line", HELPS)
def test_help_has_examples(capsys, line):
    assert f"examples:\n  provision {line}".rstrip() in help_of(f"{line} --help", capsys)


def test_examples_in_help_are_right_usage(run, demo, sample, status, stop, monkeypatch, capsys):
    monkeypatch.setattr(cli.pictures, "call", lambda _: {"file": "dwi.png", "alt": "slices"})
    for module in (cli.machine, cli.study):
        monkeypatch.setattr(module, "call", lambda _: Diagnosis({}, 0.1))
    helps = [help_of(f"{command} --help", capsys) for command in ("", "run", "demo", "sample")]
    examples = "".join(helps).splitlines()
    lines = [line.split("   ")[0].split()[1:] for line in map(str.strip, examples) if line.startswith("provision ")]
    assert len(lines) > 10
    assert [main(line) for line in lines] == [0] * len(lines)


@pytest.mark.parametrize("line", HELPS)
def test_help_fits_into_a_narrow_terminal(monkeypatch, capsys, line):
    monkeypatch.setenv("COLUMNS", "60")
    lines = help_of(f"{line} --help", capsys).splitlines()
    # A command to type stays in one line, and argparse keeps a list of choices whole.
    assert [one for one in lines if len(one) > 60 and not re.match(r" +(provision|-)", one)] == []


def test_the_description_of_a_role_is_broken_once(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    _title, *paragraph = help_of("run mrtrix3 --help", capsys).split("\n\n")[1:3]
    for line, following in itertools.pairwise(paragraph[0].splitlines()):
        assert len(f"{line} {following.split()[0]}") > 58 or line.endswith(".")


def test_each_command_and_what_it_does_share_a_line(capsys):
    lines = help_of("--help", capsys).splitlines()
    assert [line for line in lines if re.fullmatch(r" +completion", line)] == []


def test_an_error_breaks_between_words_in_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["run", "mrtrix"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2 and max(map(len, lines)) <= 40
    assert " ".join(lines).endswith("reverse_ssh.")
