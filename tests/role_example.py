"""The role that docs/howto/add_a_role.md works out, put into a copy of the project."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/howto/add_a_role.md"
_FILE = re.compile(
    r'^(?P<fence>`{3,})(?P<language>\w+) title="(?P<path>[^"]+)"\n(?P<text>.*?)^(?P=fence)$', re.M | re.S
)


def with_example(target: Path) -> Path:
    """Copy what a run and the tests of content need to a folder, put the page's files there, and return the folder."""
    for name in ("provision", "roles", "playbooks", "plugins", "inventory", "tests/content"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("ansible.cfg", "pyproject.toml", ".ansible-lint"):
        shutil.copy(ROOT / name, target)
    for found in _FILE.finditer(PAGE.read_text("utf-8")):
        if found["language"] == "diff":
            subprocess.run(["git", "apply", "-"], input=found["text"], cwd=target, text=True, check=True)
        else:
            file = target / found["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(found["text"], "utf-8")
    return target
