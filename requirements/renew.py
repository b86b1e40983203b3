"""Renew the lock: every package that bootstrap installs, by version and hash, for each extra of pyproject.toml.

    PROVISION_EXTRAS=maintain ./bootstrap python requirements/renew.py [--upgrade]

Without --upgrade, versions change only where pyproject.toml asks for it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parent
BASE = "base"
# What an editable install is built with; hatchling asks for editables by itself.
BUILD = "editables>=0.5"
HEADER = f"# Made by {HERE.name}/{Path(__file__).name}, which says how; not to be edited by hand.\n"
# Of Linux alone, and of wheels alone: building a package would run code of build tools that nothing holds to a hash.
COMPILE = (
    *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"),
    *("--only-binary", ":all:", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
)


def project() -> dict:
    """Return what pyproject.toml says."""
    return tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))


def within(extra: str, extras: dict[str, list[str]]) -> list[str]:
    """Return the extras that an extra is made of, besides packages."""
    found = (re.fullmatch(r"mrtrix-provision\[(.*)\]", line) for line in extras[extra])
    return [name.strip() for match in found if match for name in match[1].split(",")]


def blocks(text: str) -> list[str]:
    """Return the requirements of a lock, each with its hashes."""
    return re.findall(r"^\w.*(?:\n[ ].*)*\n", text, re.MULTILINE)


def main() -> None:
    """Write one file for each extra, which has what the files that it includes have not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that pyproject.toml allows")
    upgrade = parser.parse_args().upgrade
    settings = project()
    extras = settings["project"]["optional-dependencies"]
    build = "\n".join([*settings["build-system"]["requires"], BUILD])
    locked = "" if upgrade else "".join(path.read_text("utf-8") for path in sorted(HERE.glob("*.txt")))
    everything = _compiled(build, list(extras), preferred="\n".join(blocks(locked)))
    has: dict[str, set[str]] = {}
    for name in [BASE, *extras]:
        includes = [] if name == BASE else within(name, extras) or [BASE]
        found = blocks(_compiled(build, [] if name == BASE else [name], constraints=everything))
        has[name] = set(found)
        new = [block for block in found if not any(block in has[included] for included in includes)]
        lines = [HEADER, "--only-binary :all:\n", *(f"-r {included}.txt\n" for included in includes), *new]
        (HERE / f"{name}.txt").write_text("".join(lines), "utf-8")


def _compiled(build: str, extras: list[str], *, preferred: str = "", constraints: str = "") -> str:
    """Return the lock of the project with some extras; what is preferred may change, constraints may not."""
    output, bounds = HERE / ".output.txt", HERE / ".constraints.txt"
    argv = [*COMPILE, "pyproject.toml", "-", "--output-file", os.fspath(output)]
    argv += [word for extra in extras for word in ("--extra", extra)]
    try:
        output.write_text(preferred, "utf-8")
        if constraints:
            bounds.write_text(constraints, "utf-8")
            argv += ["--constraint", os.fspath(bounds)]
        subprocess.run(argv, cwd=PROJECT, input=build, text=True, check=True)
        return output.read_text("utf-8")
    finally:
        output.unlink(missing_ok=True)
        bounds.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
