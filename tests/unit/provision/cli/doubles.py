"""The command line, and doubles of what it calls."""

import shlex

import pytest

from provision.actions.result import Result
from provision.cli import main as cli
from provision.cli.main import main
from provision.errors import OptionError

RESULT = Result(0, 2.1, {"localhost": {"mrtrix3": {"version": "3.0.8", "origin": "package"}}})


class FakeDemoResult:
    summary = "found the phantom's fibres"

    def to_dict(self):
        return {"passed": True}


class Calls(list):
    """Stands for an action: keeps what it was called with, and does what it is told to."""

    def __init__(self, returns):
        self.returns, self.raises = returns, None

    def __call__(self, *names, **options):
        self.append((names, options))
        print("a word on standard output")
        if self.raises:
            raise self.raises
        return self.returns


def provision(line):
    return main(line.split())


def help_of(line, capsys):
    assert provision(line) == 0
    return capsys.readouterr().out


def refused(line, code, values, capsys):
    """See that a line is wrong usage of some kind: an error for people alone, with all of these values in it."""
    words = shlex.split(line)
    assert main(words) == cli.WRONG_USAGE
    said = capsys.readouterr()
    with pytest.raises(OptionError) as raised:
        cli._do(words)
    assert raised.value.code == code
    if "--json" not in words:
        assert said.out == "" and said.err == "\n".join([*raised.value.lines(), ""])
    assert [value for value in values if value not in str(raised.value)] == []
