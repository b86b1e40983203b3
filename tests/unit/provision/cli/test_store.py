"""What the commands of ``provision store`` promise."""

import hashlib
import json
import os
import shlex

import pytest

from provision.cli import flags
from provision.cli import store as cli_store
from provision.cli.main import _parser, main
from provision.machine.store.pack import pack
from provision.store import builds as store
from provision.store.listing import Checked, Exported, Listing, Pruned

from .doubles import refused

KEY = "mrtrix3-3.0.8-debian12-x86_64-x86-64"


@pytest.fixture
def builds(tmp_path, monkeypatch):
    """Be in a folder with a store of one build, ``builds``, and return that."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prefix").mkdir()
    (tmp_path / "prefix" / "mrinfo").write_bytes(os.urandom(2000))
    manifest = {
        "tool": "mrtrix3", "version": "3.0.8", "release": "debian-12", "arch": "x86_64", "cpu": "x86-64",
        "glibc": "2.34", "commands": ["mrinfo"], "asked": [], "complete": True,
    }  # fmt: skip
    pack(str(tmp_path / "prefix"), str(tmp_path / "builds"), manifest)
    return tmp_path / "builds"


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Put functions that do nothing in the place of the store's; return what they were asked for."""
    calls = []

    def put(name, result):
        def called(*arguments, **named):
            calls.append((name, *arguments, *named.values()))
            return result

        monkeypatch.setattr(store, name, called)

    put("ls", Listing(tmp_path))
    put("verify", Checked(tmp_path))
    put("prune", Pruned(tmp_path, (), 0))
    put("export", Exported(tmp_path, 1, "0" * 64, "mrtrix3", "3.0.8"))
    put("import_", Listing(tmp_path))
    return calls


def provision(line):
    return main(shlex.split(line))


def sum_of(builds):
    return hashlib.sha256((builds / f"{KEY}.tar.zst").read_bytes()).hexdigest()


def examples():
    told = [value for name, value in vars(cli_store).items() if name.endswith("_EXAMPLES")]
    lines = [line.strip() for text in told for line in text.splitlines()]
    return [line.split("   ")[0].removeprefix("provision ") for line in lines if line.startswith("provision ")]


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("ls", ("ls", None)),
        ("ls --store here", ("ls", "here")),
        ("verify --store=here", ("verify", "here")),
        ("prune --keep 2", ("prune", 2, None)),
        ("prune --store here --keep 0", ("prune", 0, "here")),
        ("export key /mnt/usb", ("export", "key", "/mnt/usb", None, "archive")),
        ("export --store here key 'a b'", ("export", "key", "a b", "here", "archive")),
        ("export key . --format conda", ("export", "key", ".", None, "conda")),
        ("import --sha256 abc a.tar.zst", ("import_", "a.tar.zst", "abc", None)),
        ("import https://host/a --store here --sha256 abc", ("import_", "https://host/a", "abc", "here")),
    ],
)
def test_each_command_passes_on_what_was_written(asked, line, call):
    assert provision(f"store {line}") == 0
    assert asked == [call]


def test_examples_in_help_are_right_usage(asked):
    assert len(examples()) > 10
    assert [provision(line) for line in examples()] == [0] * len(examples())


def test_a_build_goes_from_one_store_to_another(builds, capsys):
    assert provision(f"store export mrtrix3 {KEY}.tar.zst --store builds") == 0
    assert provision(f"store import {KEY}.tar.zst --sha256 {sum_of(builds)} --store other") == 0
    assert f"other/{KEY}.tar.zst" in capsys.readouterr().out
    assert provision("store ls --store other") == 0
    assert f"\n{KEY}  " in capsys.readouterr().out
    assert provision("store prune --keep 0 --store other") == 0
    assert f"deleted {KEY}.tar.zst\n" in capsys.readouterr().out
    assert provision("store ls --store other") == 0
    assert capsys.readouterr().out == f"There are no builds in {builds.parent / 'other'}.\n"


@pytest.mark.parametrize(
    "line", ["ls", "verify", "prune --keep 1", f"export {KEY} .", f"import builds/{KEY}.tar.zst --sha256 SUM"]
)
def test_json_is_all_there_is_on_standard_output(builds, capsys, line):
    assert provision(f"store {line} --store builds --json".replace("SUM", sum_of(builds))) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and json.loads(said)


@pytest.mark.parametrize("form", ["", "--json"])
def test_verifying_fails_where_a_build_is_bad_and_tells_of_all(builds, capsys, form):
    assert provision(f"store verify --store builds {form}") == 0
    capsys.readouterr()
    (builds / "other.tar.zst").write_text("hello")
    assert provision(f"store verify --store builds {form}") == 1
    said = capsys.readouterr()
    assert KEY in said.out and "broken" in said.out and said.err == ""
    assert not form or json.loads(said.out)["ok"] is False


@pytest.mark.parametrize(
    ("line", "code", "values"),
    [
        ("store", "usage", ["ls, verify, prune, export, import"]),
        ("store lss", "usage", ["'lss'", "'ls'", "ls, verify"]),
        ("store --store x ls", "usage", ["--store", "ls, verify"]),
        ("--json store ls", "usage", ["--json"]),
        ("store ls --jsno", "no-option", ["--jsno", "store ls", "'--json'"]),
        ("store ls x", "usage", ["'x'", "provision store ls --help"]),
        ("store ls --store", "usage", ["--store", "provision store ls --help"]),
        ("store prune", "usage", ["--keep", "provision store prune --help"]),
        ("store prune --keep all", "bad-value", ["'all'"]),
        ("store prune --keep -1", "bad-value", ["'-1'"]),
        ("store prune --keep 1.5", "bad-value", ["'1.5'"]),
        ("store prune --keep=", "bad-value", ["''"]),
        ("store export x", "usage", ["DEST"]),
        ("store export x . --store builds", "no-build", ["'x'", "builds"]),
        ("store import x", "usage", ["--sha256"]),
        ("store import x --sha256 abc", "bad-value", ["'abc'"]),
        ("store ls --store prefix/mrinfo", "store", ["prefix/mrinfo"]),
        ("stroe ls", "usage", ["'stroe'", "'store'"]),
    ],
)
def test_wrong_usage_is_explained_in_a_sentence(builds, capsys, line, code, values):
    refused(line, code, values, capsys)


def test_what_fails_is_told_with_the_exit_code_of_a_failure(builds, capsys):
    assert provision(f"store import builds/{KEY}.tar.zst --sha256 {'0' * 64} --store builds --json") == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "wrong-checksum" and sum_of(builds) in error["message"]


def test_help_lists_the_commands(capsys):
    assert provision("--help") == 0
    assert "\n    store " in capsys.readouterr().out
    assert provision("store --help") == 0
    text = capsys.readouterr().out
    for name in cli_store.COMMANDS:
        assert f"\n    {name} " in text
    assert "examples:\n  provision store " in text


@pytest.mark.parametrize("name", cli_store.COMMANDS)
def test_help_of_each_command_has_examples(capsys, name):
    assert provision(f"store {name} --help") == 0
    assert f"examples:\n  provision store {name}" in capsys.readouterr().out


def test_every_command_that_is_parsed_can_be_called_and_no_other():
    assert list(flags.subcommands(flags.subcommands(_parser("store"))["store"])) == list(cli_store.COMMANDS)
