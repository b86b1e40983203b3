"""Make the documentation's site with Zensical.

    python docs/site.py SITE

The pages of the repository are copied to a temporary folder, beside those that are made from the roles, the docstrings
and the command line, so that everything is written in one place. Links between files become links between pages.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

import provision
from provision.cli import main
from provision.engine import catalog
from provision.engine.catalog import Option
from provision.machine import ngrok_errors

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = "mkdocs.yml"

# A row of the tables of messages: the messages, and what to do about them. Codes are single words.
_MESSAGE = re.compile(r"^\| (`[^`|]* [^|]*`) \| (.+) \|$", re.M)

# A link of Markdown to a file beside it: not an address, not a place on the same page.
_LINK = re.compile(r"\]\((?P<path>[^)#:\s]+)(?P<place>#[^)\s]*)?\)")


def build(site: Path) -> int:
    """Build the site in a folder; return the exit code of Zensical, which is not 0 when a link leads nowhere."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", SETTINGS]
        code = subprocess.run(command, cwd=folder, check=False).returncode
        if code == 0:
            shutil.copytree(Path(folder, "site"), site, dirs_exist_ok=True)
        return code


def write(folder: Path) -> None:
    """Write all that Zensical needs to a folder: the pages, and the settings with the roles in the navigation."""
    docs = ROOT / "docs"
    texts = {path.relative_to(docs).as_posix(): path.read_text("utf-8") for path in docs.rglob("*.md")} | pages()
    for name, text in texts.items():
        page = folder / "docs" / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(_linked(text, name, texts), "utf-8")
    for path in docs.rglob("*"):
        if path.is_file() and path.suffix not in (".md", ".py"):
            target = folder / "docs" / path.relative_to(docs)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    settings = yaml.safe_load(_text(SETTINGS))
    (reference,) = (part["Reference"] for part in settings["nav"] if "Reference" in part)
    reference.append({"Roles": [{name: f"reference/{name}.md"} for name in catalog.roles()]})
    (trouble,) = (part for part in settings["nav"] if "Troubleshooting" in part)
    messages = sorted(name for name in texts if name.startswith("messages/"))
    trouble["Troubleshooting"] = ["troubleshooting.md", {"Messages": messages}]
    (strings,) = (plugin["mkdocstrings"] for plugin in settings["plugins"] if "mkdocstrings" in plugin)
    strings["handlers"]["python"]["paths"] = [str(ROOT)]
    (folder / SETTINGS).write_text(yaml.safe_dump(settings, sort_keys=False), "utf-8")


def pages() -> dict[str, str]:
    """Return the pages that are made, by their places in the site."""
    return {
        "contributing.md": _text("CONTRIBUTING.md"),
        "changelog.md": _text("CHANGELOG.md"),
        "reference/python.md": python_page(),
        "reference/cli.md": command_line_page(),
        **message_pages(),
        **{f"reference/{name}.md": role_page(name) for name in catalog.roles()},
    }


def _linked(text: str, here: str, names: Iterable[str]) -> str:
    """Turn a page's links to files of the repository into links to pages of the site."""
    pages = {_origin(name): name for name in names}
    beside = posixpath.dirname(_origin(here))

    def linked(found: re.Match) -> str:
        path = posixpath.normpath(posixpath.join(beside, found["path"]))
        if path not in pages:
            return found[0]
        return f"]({posixpath.relpath(pages[path], posixpath.dirname(here) or '.')}{found['place'] or ''})"

    return _LINK.sub(linked, text)


def role_page(name: str) -> str:
    """Return the page of a role: its README and all its options."""
    role = catalog.role(name)
    parts = [_text(f"roles/{name}/README.md").rstrip(), "## Options", *map(_option, role.options.values())]
    if name == "ngrok":
        parts += ["## ngrok's error codes", _refusals()]
    return "\n\n".join(parts) + "\n"


def message_pages() -> dict[str, str]:
    """Return a page for each error message that the page on troubleshooting explains: people search for its words."""
    made = {}
    for messages, remedy in _MESSAGE.findall(_text("docs/troubleshooting.md")):
        name = "-".join(re.findall(r"\w+", messages.lower())[:10])
        title = re.sub(r"(?<!^)` ?, `", " ", messages).strip("`")
        remedy = re.sub(r"\]\((?!https?:|#)", "](../", remedy)
        made[f"messages/{name}.md"] = f"# {title}\n\n{remedy}\n\n[All messages](../troubleshooting.md)\n"
    return made


def python_page() -> str:
    """Return the page of the Python package: what `provision` names as public, in directives of mkdocstrings."""
    names = sorted(provision.__all__, key=str.lower)
    return "\n\n".join(["# Python", "What `import provision` offers.", *(f"::: provision.{n}" for n in names)])


def command_line_page() -> str:
    """Return the page of the command line: what each command says of itself with ``--help``."""
    os.environ["COLUMNS"] = "100"  # argparse breaks lines where the terminal ends
    commands = ["", *_commands(main._parser(None))]
    parts = [f"## {f'provision {name}'.strip()}\n\n```text\n{_help(*name.split())}```\n" for name in commands]
    return "\n".join(["# Command line\n", *parts])


def _commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the commands of a parser, with those of its commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield name
                yield from (f"{name} {below}" for below in _commands(command))


def _help(*words: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        main.main([*words, "--help"])
    return said.getvalue()


def _text(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def _origin(uri: str) -> str:
    """Return the file of the repository that a page shows."""
    if uri in ("contributing.md", "changelog.md"):
        return uri.removesuffix(".md").upper() + ".md"
    role = posixpath.basename(uri).removesuffix(".md")
    if posixpath.dirname(uri) == "reference" and role in catalog.roles():
        return f"roles/{role}/README.md"
    return f"docs/{uri}"


def _option(option: Option) -> str:
    facts = [
        option.kind,
        "required" if option.required else f"default: `{_value(option.default)}`" if option.default != "" else "",
        f"one of {_values(option.choices)}" if option.choices else "",
        "secret" if option.secret else "",
    ]
    paragraphs = catalog.plain(option.description).split("\n")
    return "\n\n".join([f"### `{option.name}`", f"*{'; '.join(filter(None, facts))}*", *paragraphs])


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _values(values: Iterable[Any]) -> str:
    return ", ".join(f"`{_value(value)}`" for value in values)


def _refusals() -> str:
    known = ngrok_errors.KNOWN
    rows = [f"| `ERR_NGROK_{code}` | {problem} | {way_out} |" for code, (problem, way_out) in sorted(known.items())]
    return "\n".join(["| code | what is wrong | what to do |", "| --- | --- | --- |", *rows])


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("site", type=Path, help="the folder to put it in")
    sys.exit(build(arguments.parse_args().site))
