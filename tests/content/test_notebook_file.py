"""The notebook that people open in Colab: a valid file, short, and made of nothing that is not there."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
from pathlib import Path

import nbformat
import pytest

import provision
from provision.demo.pipeline import COMMANDS
from provision.demo.sample import Sample
from provision.engine import catalog

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "notebooks" / "mrtrix3_in_colab.ipynb"
NOTEBOOK = json.loads(FILE.read_text(encoding="utf-8"))
SOURCES = [("".join(cell["source"]), cell["cell_type"]) for cell in NOTEBOOK["cells"]]
WORDS = "\n".join(source for source, kind in SOURCES if kind == "markdown")
LINES = [
    line
    for source, kind in SOURCES
    for line in source.splitlines()
    if kind == "code" and line.strip() and not line.lstrip().startswith("#")
]
PYTHON = [line for line in LINES if line[0] not in "!%"]
SHELL = [line[1:] for line in LINES if line[0] == "!"]
CALLS = [node for line in PYTHON for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call)]
TOLD = [ast.parse(call, mode="eval").body for call in re.findall(r"`(provision\.\w+\([^`]*\))`", WORDS)]
MOST_LINES = 12


def test_the_file_is_a_notebook_of_format_4_whose_cells_have_names_of_their_own() -> None:
    # The names first: what checks the rest adds those that are missing.
    names = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(names)) == len(names)
    assert NOTEBOOK["nbformat"] == 4
    nbformat.validate(NOTEBOOK)


def test_nothing_of_a_run_is_kept_in_the_file() -> None:
    for cell in NOTEBOOK["cells"]:
        assert cell.get("outputs", []) == [] and cell.get("execution_count") is None and cell["metadata"] == {}
    assert set(NOTEBOOK["metadata"]) == {"colab", "kernelspec", "language_info"}


def test_all_that_it_does_takes_at_most_a_dozen_lines_of_one_statement_each() -> None:
    assert 0 < len(LINES) <= MOST_LINES, LINES
    assert [line for line in PYTHON if len(ast.parse(line).body) != 1] == []
    assert [line for line in SHELL if set(shlex.split(line)) & {";", "&&", "|", "||"}] == []


def test_all_steps_of_the_walk_through_are_there() -> None:
    called = {ast.unparse(call.func).removeprefix("provision.") for call in CALLS}
    assert called == {"drive", "run", "sample", "peek", "glyphs", "view"}
    assert {line.split()[0] for line in SHELL} >= {"dwi2response", "dwi2fod"}
    assert {role for call in CALLS for role in roles(call)} >= {"mrtrix3", "mrpeek", "sshd", "ngrok"}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\bprovision\.(\w+)", "\n".join([*PYTHON, WORDS])))))
def test_every_name_of_the_package_in_code_and_text_is_public(name: str) -> None:
    assert name in provision.__all__


def test_every_call_in_code_and_text_passes_what_can_be_passed() -> None:
    assert TOLD
    for call in [*CALLS, *TOLD]:
        parameters = inspect.signature(getattr(provision, call.func.attr))
        parameters.bind(*call.args, **{word.arg: word.value for word in call.keywords})
        options = {word.arg: word.value for word in call.keywords if word.arg not in parameters.parameters}
        if roles(call):
            catalog.variables(roles(call), {name: ast.literal_eval(value) for name, value in options.items()})


def test_commands_are_those_that_are_installed_and_get_what_data_there_are() -> None:
    assert {line.split()[0] for line in SHELL} <= set(COMMANDS)
    for name in re.findall(r"\bdata\.(\w+)", "\n".join(LINES)):
        assert name in Sample.__dataclass_fields__ or isinstance(getattr(Sample, name), property)


def test_a_cell_that_is_run_again_writes_its_files_again() -> None:
    assert [line for line in SHELL if "-force" not in line.split()] == []


def test_what_is_installed_is_this_project_with_all_that_the_cells_need() -> None:
    (install,) = [line for line in LINES if line.startswith("%pip install")]
    project = (ROOT / "pyproject.toml").read_text()
    wanted = shlex.split(install)[-1]
    assert wanted == "mrtrix-provision[demo]" and 'name = "mrtrix-provision"' in project
    assert re.search(r"^demo = .*dipy.*mrtrix-provision\[view\]", project, re.M)


def test_the_badge_opens_this_file_in_colab() -> None:
    badge = re.search(r"\[!\[Open in Colab\]\(\S+/colab-badge\.svg\)\]\((\S+)\)", SOURCES[0][0])
    assert badge
    assert re.fullmatch(
        rf"https://colab\.research\.google\.com/github/[\w-]+/[\w.-]+/blob/main/{FILE.relative_to(ROOT)}", badge[1]
    )


def test_the_terms_are_told_before_the_tunnel() -> None:
    before = "".join(source for source, _ in SOURCES[: [source for source, _ in SOURCES].index(tunnel())])
    for words in ("terms", "compute units", "SSH shells", "remote proxies", "colab ssh"):
        assert words in " ".join(before.split())


def test_the_tunnel_is_left_out_where_nobody_gives_a_token_and_no_secret_is_in_the_file() -> None:
    assert "optional=True" in tunnel()
    assert not re.search(r"authtoken\s*=\s*[\"']|accept_colab_policy", "\n".join(LINES))


def tunnel() -> str:
    (source,) = [source for source, kind in SOURCES if kind == "code" and "ngrok" in source]
    return source


def roles(call: ast.Call) -> list[str]:
    """Return the roles that a call runs."""
    return [ast.literal_eval(role) for role in call.args] if ast.unparse(call.func) == "provision.run" else []
