"""Numbers and names as people read them."""

from __future__ import annotations

import difflib
import math
import re
import textwrap
from collections.abc import Iterable

from provision.machine.amounts import format_bytes as format_bytes
from provision.machine.amounts import format_seconds as format_seconds


def format_left(seconds: float) -> str:
    """Return a guess of the time left, rounded up: about 20 s left, almost done."""
    grain = 10 if seconds <= 60 else 60 if seconds <= 3600 else 600
    rounded = grain * math.ceil(round(seconds) / grain)
    return f"about {format_seconds(rounded)} left" if rounded else "almost done"


def format_age(seconds: float) -> str:
    """Return an age in its largest unit: 59 s, 2 h, 2 d; never less than 0 s."""
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def printable(line: str) -> str:
    """Replace each control character by a space: terminals and notebooks would obey them."""
    return "".join(letter if letter.isprintable() else " " for letter in line)


def wrapped(line: str, width: int, hang: int | None = None) -> list[str]:
    """Break a line between words; what is longer than a line, such as a path to copy, stays whole.

    The lines after the first begin at the column `hang`, that of the first word if None.
    """
    if len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) if hang is None else hang)
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def no_such(
    kind: str, name: object, names: Iterable[str], *, where: str = "", kinds: str = "", near: Iterable[str] = ()
) -> tuple[str, str]:
    """Return the sentence for a name that does not exist, and a hint with the nearest name and the list of all.

    "There is no option '--jsno' for stop." and "Did you mean '--json'? Options: --on, --json.", for example.

    `where` follows the name, `kinds` is an irregular plural, and `near` holds more names that may have been meant.
    """
    known = list(names)
    plural = kinds or f"{kind}s"
    return f"There is no {kind} {name!r}{where}.", choices(name, known, f"{plural[0].upper()}{plural[1:]}", near=near)


def choices(name: object, names: Iterable[str], label: str, *, near: Iterable[str] = ()) -> str:
    """Return the hint for a wrong name: the nearest one, and all of them after their label."""
    known = list(names)
    offered = f"{label}: {', '.join(known)}." if known else ""
    return f"{did_you_mean(str(name), [*known, *near])} {offered}".strip()


def as_keywords(text: str, role: str) -> str:
    """Return a role's text with the options that it sets as Python takes them: ``version='any'``."""
    return re.sub(rf"\b{re.escape(role)}_(\w+): (\w+)", r"\1='\2'", text) if role else text


def as_flags(text: str) -> str:
    """Return a text with such options as the command line takes them: ``--version any``."""
    return re.sub(r"\b(\w+)='(\w+)'", lambda found: f"--{found[1].replace('_', '-')} {found[2]}", text)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a question that offers the nearest name, or nothing if none is close."""
    near = difflib.get_close_matches(name.lower(), list(names), n=1)
    return f"Did you mean {near[0]!r}?" if near else ""


def shortened(text: str, most: int) -> str:
    """Return text of at most so many characters: its longest words lose their middle, down to 9 characters."""
    words = text.split(" ")
    while len(" ".join(words)) > most:
        at = max(range(len(words)), key=lambda number: len(words[number]))
        word, kept = words[at].replace("…", ""), len(words[at]) - 2
        if kept < 8:
            break
        words[at] = f"{word[: -(-kept // 2)]}…{word[-(kept // 2) :]}"
    return " ".join(words)
