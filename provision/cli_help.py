"""What stands at the end of each command's help: examples, and what its exit codes mean."""

from __future__ import annotations

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


def ending(examples: str, codes: str = CODES) -> str:
    """Return the end of a command's help.

    Parameters
    ----------
    examples : str
        The examples, and perhaps words and exit codes of the command's own behind them.
    codes : str
        The exit codes where the examples have none behind them.

    Returns
    -------
    str
        The text.

    Examples
    --------
    >>> print(ending("examples:", "exit codes:"))
    examples:
    exit codes:
    """
    return examples if "exit codes:" in examples else f"{examples}\n{codes}"
