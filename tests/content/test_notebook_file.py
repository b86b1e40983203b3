"""The notebooks that people open in Colab: valid files, short, and made of nothing that is not there."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
import pytest
from documentation import blocks
from IPython.core.inputtransformer2 import TransformerManager  # what makes Python of %pip and !mrinfo

import provision
from provision.demo.pipeline import COMMANDS
from provision.demo.sample import Sample
from provision.engine import catalog

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Notebook:
    """A notebook's file, and what its cells say."""

    file: Path

    @cached_property
    def held(self) -> dict:
        return json.loads(self.file.read_text(encoding="utf-8"))

    @cached_property
    def sources(self) -> list[tuple[str, str]]:
        return [("".join(cell["source"]), cell["cell_type"]) for cell in self.held["cells"]]

    @property
    def words(self) -> str:
        return "\n".join(source for source, kind in self.sources if kind == "markdown")

    @property
    def cells(self) -> list[str]:
        """The cells of code, but for those that write a file."""
        return [source for source, kind in self.sources if kind == "code" and not source.startswith("%%writefile")]

    @property
    def lines(self) -> list[str]:
        lines = "\n".join(self.cells).splitlines()
        return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]

    @property
    def calls(self) -> list[ast.Call]:
        """The calls of the package in code."""
        return calls([TransformerManager().transform_cell(cell) for cell in self.cells])

    @property
    def told(self) -> list[ast.Call]:
        """Those in text."""
        return calls(re.findall(r"`(provision\.\w+\([^`]*\))`", self.words))


def calls(sources: list[str]) -> list[ast.Call]:
    nodes = [node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [node for node in nodes if ast.unparse(node.func).startswith("provision.")]


WALK, OWN = (Notebook(ROOT / "notebooks" / f"{name}.ipynb") for name in ("mrtrix3_in_colab", "own_data"))
each = pytest.mark.parametrize("notebook", [WALK, OWN], ids=lambda notebook: notebook.file.stem)
PYTHON = [line for line in WALK.lines if line[0] not in "!%"]
SHELL = [line[1:] for line in WALK.lines if line[0] == "!"]
# A dozen, and three for a whole study.
MOST_LINES = 15
# A dozen steps, and the line that names the data.
MOST_CELLS = 13


def test_no_notebook_is_forgotten() -> None:
    assert {WALK.file, OWN.file} == set((ROOT / "notebooks").glob("*.ipynb"))


@each
def test_the_file_is_a_notebook_of_format_4_whose_cells_have_names_of_their_own(notebook: Notebook) -> None:
    # The names first: what checks the rest adds those that are missing.
    names = [cell["id"] for cell in notebook.held["cells"]]
    assert len(set(names)) == len(names)
    assert notebook.held["nbformat"] == 4
    nbformat.validate(notebook.held)


@each
def test_nothing_of_a_run_is_kept_in_the_file(notebook: Notebook) -> None:
    for cell in notebook.held["cells"]:
        assert cell.get("outputs", []) == [] and cell.get("execution_count") is None and cell["metadata"] == {}
    assert set(notebook.held["metadata"]) == {"colab", "kernelspec", "language_info"}


@each
def test_every_name_of_the_package_in_code_and_text_is_public(notebook: Notebook) -> None:
    names = set(re.findall(r"\bprovision\.(\w+)", "\n".join([*notebook.lines, notebook.words])))
    assert names - set(provision.__all__) == set()


@each
def test_every_call_in_code_and_text_passes_what_can_be_passed(notebook: Notebook) -> None:
    assert notebook.calls and WALK.told
    for call in [*notebook.calls, *notebook.told]:
        parameters = inspect.signature(getattr(provision, call.func.attr))
        parameters.bind(*call.args, **{word.arg: word.value for word in call.keywords})
        options = {word.arg: word.value for word in call.keywords if word.arg not in parameters.parameters}
        if roles(call):
            catalog.variables(roles(call), {name: ast.literal_eval(value) for name, value in options.items()})


@each
def test_data_have_what_is_asked_of_them(notebook: Notebook) -> None:
    for name in re.findall(r"\b(?:data|scan|scans\[0\])\.(\w+)", "\n".join(notebook.lines)):
        assert name in Sample.__dataclass_fields__ or isinstance(getattr(Sample, name), property)


@each
def test_what_is_installed_is_this_project_with_all_that_the_cells_need(notebook: Notebook) -> None:
    (install,) = [line for line in notebook.lines if line.startswith("%pip install")]
    project = (ROOT / "pyproject.toml").read_text()
    wanted = shlex.split(install)[-1]
    extras = "demo,study" if notebook is WALK else "demo"
    assert wanted == f"mrtrix-provision[{extras}]" and 'name = "mrtrix-provision"' in project
    assert re.search(r"^demo = .*dipy.*mrtrix-provision\[view\]", project, re.M)


@each
def test_the_badge_opens_this_file_in_colab(notebook: Notebook) -> None:
    badge = re.search(r"\[!\[Open in Colab\]\(\S+/colab-badge\.svg\)\]\((\S+)\)", notebook.sources[0][0])
    assert badge
    place = notebook.file.relative_to(ROOT)
    assert re.fullmatch(rf"https://colab\.research\.google\.com/github/[\w-]+/[\w.-]+/blob/main/{place}", badge[1])


# The walk-through


def test_all_that_it_does_takes_at_most_fifteen_lines_of_one_statement_each() -> None:
    assert 0 < len(WALK.lines) <= MOST_LINES, WALK.lines
    assert [line for line in PYTHON if len(ast.parse(line).body) != 1] == []
    assert [line for line in SHELL if set(shlex.split(line)) & {";", "&&", "|", "||"}] == []


def test_all_steps_of_the_walk_through_are_there() -> None:
    called = {call.func.attr for call in WALK.calls}
    assert called == {"drive", "run", "sample", "peek", "glyphs", "view", "process"}
    assert {line.split()[0] for line in SHELL} >= {"dwi2response", "dwi2fod"}
    assert {role for call in WALK.calls for role in roles(call)} >= {"mrtrix3", "sshd", "ngrok"}


def test_commands_are_those_that_are_installed() -> None:
    assert {line.split()[0] for line in SHELL} <= set(COMMANDS)


def test_a_cell_that_is_run_again_writes_its_files_again() -> None:
    assert [line for line in SHELL if "-force" not in line.split()] == []


def test_the_terms_are_told_before_the_tunnel() -> None:
    before = "".join(source for source, _ in WALK.sources[: [source for source, _ in WALK.sources].index(tunnel())])
    for words in ("terms", "compute units", "SSH shells", "remote proxies", "colab ssh"):
        assert words in " ".join(before.split())


def test_the_tunnel_is_left_out_where_nobody_gives_a_token_and_no_secret_is_in_the_file() -> None:
    assert "optional=True" in tunnel()
    assert not re.search(r"authtoken\s*=\s*[\"']|accept_colab_policy", "\n".join(WALK.lines))


def tunnel() -> str:
    (source,) = [source for source, kind in WALK.sources if kind == "code" and "ngrok" in source]
    return source


# Data of one's own


def test_one_line_names_the_data_and_it_names_none() -> None:
    first, *others = [source for source, kind in OWN.sources if kind == "code"]
    assert re.fullmatch(r'DATA = ""  # .*', first)
    assert not re.search(r"^DATA\b", "\n".join(others), re.M)


def test_it_has_a_dozen_cells_and_looks_at_the_data() -> None:
    assert len([kind for _, kind in OWN.sources if kind == "code"]) <= MOST_CELLS
    assert {call.func.attr for call in OWN.calls} == {"drive", "run", "sample", "scans", "peek", "glyphs", "view"}


def test_what_is_done_once_is_skipped_and_what_is_cut_off_is_written_again() -> None:
    for script in scripts([source for source, _ in OWN.sources]).values():
        done, *commands = script.partition("test -e")[2].splitlines()
        assert done.endswith("&& exit")
        assert [line for line in commands if re.match(r"dwi|mr|mt", line) and not line.endswith("-force")] == []
        assert commands[-1] == "touch " + done.split()[0]  # which is there only once all of it is


def test_the_page_has_the_same_scripts() -> None:
    page = [block.code for block in blocks(ROOT / "docs/howto/own_data.md")]
    assert scripts(page) == scripts([source for source, _ in OWN.sources]) != {}


def scripts(sources: list[str]) -> dict[str, str]:
    """Return the files that cells write, by their names."""
    found = [re.fullmatch(r"%%writefile (\S+)\n(.*?)\n?", source, re.S) for source in sources]
    return {one[1]: one[2] for one in found if one}


def roles(call: ast.Call) -> list[str]:
    """Return the roles that a call runs."""
    return [ast.literal_eval(role) for role in call.args] if ast.unparse(call.func) == "provision.run" else []
