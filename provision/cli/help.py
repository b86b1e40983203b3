"""Parsers of commands, and the end of each command's help: examples, and what its exit codes mean."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from provision.errors import OptionError

CODES = """\
exit codes:
  0    done
  1    it could not be done, and the error says why
  2    wrong usage: an argument, an option or a value that does not exist
  130  interrupted
"""
"""Those of commands that start no run."""

RUN_CODES = """\
exit codes:
  0    done
  1    the run failed
  2    wrong usage: a role, an option or a value that does not exist
  130  interrupted; the same command goes on from there
"""
"""Those of commands that start a run."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are those of the whole package."""

    def __init__(self, **settings: Any):
        # An abbreviated flag would change its meaning with the next option that a role gets.
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print."""
        raise OptionError(f"{message[0].upper()}{message[1:]}.", hint=f"See {self.prog} --help.")


def ending(examples: str, codes: str = CODES) -> str:
    """Return the end of a command's help."""
    return examples if "exit codes:" in examples else f"{examples}\n{codes}"


def add_command(
    commands: argparse._SubParsersAction, name: str, about: str, examples: str, codes: str = CODES, **settings: Any
) -> argparse.ArgumentParser:
    """Add a command to those of a parser, with its help."""
    description = f"{about[0].upper()}{about[1:]}."
    return commands.add_parser(name, help=about, description=description, epilog=ending(examples, codes), **settings)
