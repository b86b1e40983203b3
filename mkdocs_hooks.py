"""The pages of the site that are made from what is said elsewhere: mkdocs calls the functions named ``on_...``."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import provision
from provision.cli import main
from provision.engine import catalog
from provision.engine.catalog import Option
from provision.machine import ngrok_errors

ROOT = Path(__file__).parent

# A link of Markdown to a file beside it: not an address, not a place on the same page.
_LINK = re.compile(r"\]\((?P<path>[^)#:\s]+)(?P<place>#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the pages of the roles to the navigation."""
    (reference,) = (part["Reference"] for part in config.nav if "Reference" in part)
    reference.append({"Roles": [{name: f"reference/{name}.md"} for name in catalog.roles()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    made = {
        "figures.md": f"# Figures\n\n{_section('What was measured')}\n{_section('What can only be checked elsewhere')}",
        "contributing.md": _text("CONTRIBUTING.md"),
        "changelog.md": _text("CHANGELOG.md"),
        "reference/python.md": python_page(),
        "reference/cli.md": command_line_page(),
        **{f"reference/{name}.md": role_page(name) for name in catalog.roles()},
    }
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between the repository's files into links between the site's pages."""
    here = page.file.src_uri
    pages = {_origin(uri): uri for uri in files.src_uris}
    beside = posixpath.dirname(_origin(here))

    def linked(found: re.Match) -> str:
        path = posixpath.normpath(posixpath.join(beside, found["path"]))
        if path not in pages:
            return found[0]
        return f"]({posixpath.relpath(pages[path], posixpath.dirname(here) or '.')}{found['place'] or ''})"

    return _LINK.sub(linked, markdown)


def role_page(name: str) -> str:
    """Return the page of a role: its README and all its options.

    Parameters
    ----------
    name : str
        The role's name.

    Returns
    -------
    str
        Markdown.

    Examples
    --------
    >>> "### `deps_groups`" in role_page("deps")
    True
    """
    role = catalog.role(name)
    parts = [_text(f"roles/{name}/README.md").rstrip(), "## Options", *map(_option, role.options.values())]
    if name == "ngrok":
        parts += ["## What ngrok refuses", _refusals()]
    return "\n\n".join(parts) + "\n"


def python_page() -> str:
    """Return the page of the Python package: what `provision` names as public.

    Returns
    -------
    str
        Markdown with the directives of mkdocstrings.

    Examples
    --------
    >>> "::: provision.run" in python_page()
    True
    """
    names = sorted(provision.__all__, key=str.lower)
    return "\n\n".join(["# Python", "`import provision`, and these are there.", *(f"::: provision.{n}" for n in names)])


def command_line_page() -> str:
    """Return the page of the command line: what each command says of itself with ``--help``.

    Returns
    -------
    str
        Markdown.

    Examples
    --------
    >>> "## provision doctor" in command_line_page()
    True
    """
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


def _section(title: str) -> str:
    """Return a section of README.md with its heading."""
    return re.search(rf"^## {title}\n.*?(?=^## |\Z)", _text("README.md"), re.M | re.S)[0]


def _origin(uri: str) -> str:
    """Return the file of the repository that a page shows."""
    if uri in ("contributing.md", "changelog.md"):
        return uri.removesuffix(".md").upper() + ".md"
    if uri == "figures.md":
        return "README.md"
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
