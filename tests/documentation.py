"""The blocks of code in the documentation, which some tests check word by word and others execute."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")),
         *sorted(ROOT.glob("roles/*/README.md"))]  # fmt: skip

FENCE = re.compile(r"^(?P<fence>`{3,})(?P<language>\w*)(?P<title>[^\n]*)\n(?P<code>.*?)^(?P=fence)$", re.M | re.S)
_REASON = re.compile(r"<!-- not run: (?P<reason>\S.*) -->\n\Z")


@dataclass(frozen=True)
class Block:
    """A block of code, or what stands between backquotes.

    Attributes
    ----------
    page : pathlib.Path
        The file it stands in.
    line : int
        Where it begins, counted from 1.
    language : str
        What stands behind the opening fence.
    code : str
        The text between the fences.
    title : str
        What stands behind the language.
    reason : str
        Why it is not run, as the page says in the line before; empty when it is.
    """

    page: Path
    line: int
    language: str
    code: str
    title: str = ""
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in their order."""
    text = page.read_text("utf-8")
    left = FENCE.sub("", text)
    assert "```" not in left and "~~~" not in left, f"{page}: a fence that is not understood"
    return [_block(page, text, fence) for fence in FENCE.finditer(text)]


def _block(page: Path, text: str, fence: re.Match) -> Block:
    before = text[: fence.start()]
    said = _REASON.search(before)
    return Block(
        page, before.count("\n") + 1, fence["language"], fence["code"], fence["title"].strip(),
        said["reason"] if said else "",
    )  # fmt: skip
