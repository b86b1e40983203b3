"""The parser of the commands, and the end of each command's help: examples and exit codes."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from provision.errors import OptionError, unknown
from provision.words import wrapped

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


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Breaks the lines of a description and of examples that are too long for the terminal."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        # argparse forgets that the commands of a parser are indented.
        for command in self._iter_indented_subactions(action):
            length = len(self._format_action_invocation(command)) + self._current_indent
            self._action_max_length = max(self._action_max_length, length)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(part for line in text.splitlines() for part in _fitted(indent + line, width))


def _fitted(line: str, width: int) -> list[str]:
    """Break a line between words; a command to type stays whole, and what is beside it moves below it."""
    command, *about = re.split(r" {2,}", line.strip(), maxsplit=1)
    column = len(line) - len(about[0] if about else line.lstrip())
    if len(line) <= width or not (command.startswith("provision ") or column > width / 2):
        return wrapped(line, width, column)
    return [f"  {command}", *(part for text in about for part in wrapped(f"      {text}", width))]


class Parser(argparse.ArgumentParser):
    """A parser that raises this package's errors."""

    def __init__(self, **settings: Any):
        # An abbreviated flag would change its meaning with the next option that a role gets.
        super().__init__(allow_abbrev=False, formatter_class=_Formatter, **settings)

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
