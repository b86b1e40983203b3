"""The command line, and doubles of what it calls."""

from provision.actions.result import Result
from provision.cli.main import main

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
