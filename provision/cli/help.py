"""The parser of the commands, and the end of each command's help: examples and exit codes."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from provision.errors import OptionError, unknown

CODES = """\
exit codes:
  0    done
  1    failed; the error says why
  2    wrong usage: an unknown argument or option, or a bad value
  130  interrupted
"""
"""The exit codes of commands that do not start a run."""

RUN_CODES = """\
exit codes:
  0    done
  1    the run failed
  2    wrong usage: an unknown role or option, or a bad value
  130  interrupted; run the same command again to resume
"""
"""The exit codes of commands that start a run."""


class Parser(argparse.ArgumentParser):
    """A parser that raises this package's errors."""

    def __init__(self, **settings: Any):
        # An abbreviated flag would change its meaning with the next option that a role gets.
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print."""
        raise OptionError(f"{message[0].upper()}{message[1:]}.", hint=f"See {self.prog} --help.")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            kind = str(action.metavar or action.dest).lower()
            where = "".join(f" for {flag}" for flag in action.option_strings)
            raise unknown(kind, value, map(str, action.choices), where=where, code="usage")


def ending(examples: str, codes: str = CODES) -> str:
    """Return the end of a command's help: its examples and exit codes."""
    return examples if "exit codes:" in examples else f"{examples}\n{codes}"


def add_command(
    commands: argparse._SubParsersAction, name: str, about: str, examples: str, codes: str = CODES, **settings: Any
) -> argparse.ArgumentParser:
    """Add a command with its help."""
    description = f"{about[0].upper()}{about[1:]}."
    return commands.add_parser(name, help=about, description=description, epilog=ending(examples, codes), **settings)
