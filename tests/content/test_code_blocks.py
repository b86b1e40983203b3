"""Every command and every block of code in the documentation is tried, or says why not.

A block that is not tried has ``<!-- not run: the reason -->`` in the line before it. What a command or a call would do
is kept from happening where it would change this machine: then the project's own parser, catalogue and signatures have
to take it.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml
from documentation import FENCE, PAGES, ROOT, Block, blocks
from IPython.core.inputtransformer2 import TransformerManager  # what makes Python of %pip and !mrinfo

import provision
from provision.actions.result import Result
from provision.actions.run import run
from provision.actions.status import Status
from provision.checkup.diagnosis import Diagnosis
from provision.cli import machine, main, pictures, store
from provision.engine import catalog
from provision.study import steps
from provision.study.summary import Study

COLLECTION = "provision_founders.provision."
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

# What is shown and not to be typed.
SHOWN = ("text", "diff")
# Its blocks with a title are files of the project.
FILES = ROOT / "docs/howto/add_a_role.md"
# Pages whose blocks that are not run have programs, and a role, that are not the project's.
WITH_OTHERS = (
    ROOT / "CONTRIBUTING.md", ROOT / "docs/howto/cloud.md", ROOT / "docs/howto/fsl.md", ROOT / "docs/howto/hosted.md",
    ROOT / "docs/howto/hpc.md", ROOT / "roles/reverse_ssh/README.md", ROOT / "roles/sshd/README.md",
)  # fmt: skip
# Text between backquotes that is a command, or a call.
INLINE = re.compile(
    r"`((?:(?:time )?(?:provision|\./bootstrap|ansible-playbook|ansible-galaxy|ansible-doc|python|%?pip) "
    r"|benchmarks/\w)[^`\n]+)`"
)
CALL = re.compile(r"`(provision\.[\w.]+\([^`\n]*\))`")


def inline(page: Path, pattern: re.Pattern, language: str) -> list[Block]:
    """What stands between backquotes, outside of blocks."""
    text = FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), page.read_text("utf-8"))
    return [Block(page, text.count("\n", 0, found.start()) + 1, language, found[1]) for found in pattern.finditer(text)]


ALL = [block for page in PAGES for block in blocks(page)]


def tried(block: Block) -> bool:
    """Tell whether a block can be: what is not run is looked at all the same, where it is ours."""
    return not block.title and not (block.reason and block.page in WITH_OTHERS)


def having(language: str, *more: Block) -> pytest.MarkDecorator:
    chosen = [block for block in [*ALL, *more] if block.language == language and tried(block)]
    return pytest.mark.parametrize("block", chosen, ids=str)


def test_the_files_that_the_page_on_tools_shows_are_those_of_the_project() -> None:
    shown = {block.title.split('"')[1]: block.code for block in ALL if block.page == FILES and block.title}
    assert len(shown) == 6
    assert {path: (ROOT / path).read_text("utf-8") for path in shown} == shown


def test_blocks_are_in_a_language_that_is_tried_or_is_for_reading() -> None:
    known = ("sh", "python", "yaml", *SHOWN)
    assert [str(block) for block in ALL if block.language not in known and not block.reason] == []
    assert [str(block) for block in ALL if block.title and block.page != FILES] == []
    assert len(ALL) > 30


# Python


@having("python", *(block for page in PAGES for block in inline(page, CALL, "python")))
def test_python_compiles_and_calls_what_there_is_with_options_that_are_taken(block: Block) -> None:
    for line in re.findall(r"^[%!](.*)$", block.code, re.M):
        try_command(shlex.split(line, comments=True), Path())
    tree = ast.parse(TransformerManager().transform_cell(block.code))
    known = names_before(block)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            assert node.id in known | stored(tree), f"{node.id} comes from nowhere"
        if isinstance(node, ast.Attribute):
            check_attribute(node)
        if isinstance(node, ast.Call):
            check_call(node)


def names_before(block: Block) -> set[str]:
    """The names that the earlier blocks of the page have made, as the cells of a notebook do."""
    made = {"provision", "get_ipython", *dir(builtins)}
    for earlier in blocks(block.page):
        if earlier.language == "python" and earlier.line < block.line:
            made |= stored(ast.parse(TransformerManager().transform_cell(earlier.code)))
    return made


def stored(tree: ast.AST) -> set[str]:
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return names | {(name.asname or name.name).partition(".")[0] for node in imports for name in node.names}


def meant(node: ast.AST) -> Any:
    """What an expression such as `provision.store.ls` is; None where it is nothing of ours."""
    if isinstance(node, ast.Name):
        return provision if node.id == "provision" else None
    if isinstance(node, ast.Attribute):
        below = meant(node.value)
        if inspect.ismodule(below) and not hasattr(below, node.attr):
            __import__(f"{below.__name__}.{node.attr}")
        return getattr(below, node.attr) if inspect.ismodule(below) else None
    return None


def check_attribute(node: ast.Attribute) -> None:
    meant(node)  # raises where there is no such thing
    # r.mrtrix3.version: what the role says that it reports.
    if isinstance(node.value, ast.Attribute) and node.value.attr in catalog.roles() and meant(node.value) is None:
        report = (ROOT / "roles" / node.value.attr / "README.md").read_text().partition("## Report")[2]
        assert re.search(rf"\b{node.attr}(_file)?\b", report), f"{node.value.attr} reports no {node.attr}"


def check_call(node: ast.Call) -> None:
    called = meant(node.func)
    if called is None:
        return
    given = {word.arg: value(word.value) for word in node.keywords}
    inspect.signature(called).bind(*map(value, node.args), **given)
    if called is run:
        taken = inspect.signature(run).parameters
        options = {name: told for name, told in given.items() if name not in taken and told is not Ellipsis}
        catalog.variables(list(map(value, node.args)), options)


def value(node: ast.AST) -> Any:
    """What a literal says; Ellipsis for what is known only when it runs."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ...


# Commands

# A word that stands for something of the reader's.
THEIRS = re.compile(r"\.\.\.|^[A-Z]+$")


@having("sh", *(block for page in PAGES for block in inline(page, INLINE, "sh")))
def test_commands_are_taken(block: Block, tmp_path: Path, nothing_happens: None) -> None:
    subprocess.run(["bash", "-n"], input=block.code, text=True, check=True)
    for command in commands(block.code):
        try_command(command, tmp_path)


def commands(code: str) -> list[list[str]]:
    """The simple commands of a script, without comments, redirections and what they stand between."""
    code = re.sub(r"(?:source <|eval \")\$?\((.*?)\)\"?", r"\1", code.replace("\\\n", " "))
    found: list[list[str]] = []
    for line in code.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.wordchars += "@:,=+%[]!$^{}*"
        words = [[]]
        for word in lexer:
            if set(word) <= set("|&;"):
                words.append([])
            else:
                words[-1].append(word)
        found += [list(takewhile(lambda word: word[0] not in "<>", command)) for command in words if command]
    return found


def try_command(words: list[str], folder: Path) -> None:
    while words[0] in ("time", "nohup", "!") or "=" in words[0]:
        words = words[1:]
    program, *arguments = words
    program = program.removeprefix("%")
    if program.startswith("~/"):
        program = Path(program).name
    if program.startswith("benchmarks/"):
        program, arguments = "python", [program, *arguments]
    if program == "./bootstrap":
        assert (ROOT / "bootstrap").is_file()
        if arguments[0] in ("demo", "list"):
            program = "provision"
        elif arguments[0] == "test":
            program, arguments = "pytest", arguments[1:]
        else:
            program, *arguments = arguments
    assert program in TRIES, f"it is not known how to try {program}"
    TRIES[program](arguments, folder)


def try_provision(arguments: list[str], _folder: Path) -> None:
    # A command that is named only, such as `provision run`, is asked for its help.
    if len(arguments) == 1 and arguments[0] in (
        "run",
        "process",
        "store",
        *pictures.COMMANDS,
        "describe",
        "completion",
        "cloud-init",
        "modulefile",
    ):
        arguments = [*arguments, "--help"]
    assert main.main([word if word != "..." else "https://example.org/x" for word in arguments]) == 0


def try_playbook(arguments: list[str], folder: Path) -> None:
    arguments = [playbook(word) for word in arguments]
    theirs = folder / "inventory.yml"
    theirs.write_text("all: {hosts: {node1.example.org: {}}}\n")
    arguments = [str(theirs) if word == "inventory.yml" else word for word in arguments]
    for given in (word for flag, word in pairwise(arguments) if flag == "-e"):
        check_variables({name: told for name, _, told in (pair.partition("=") for pair in shlex.split(given))})
    python("-m", "ansible", "playbook", "--syntax-check", *arguments)


def playbook(word: str) -> str:
    """The file that a playbook of the collection is."""
    return f"playbooks/{word.removeprefix(COLLECTION)}.yml" if word.startswith(COLLECTION) else word


def try_galaxy(arguments: list[str], _folder: Path) -> None:
    # tests/content/test_collection.py builds and installs; here only what is named is looked at.
    parse("from ansible.cli.galaxy import GalaxyCLI as CLI", ["ansible-galaxy", *arguments])
    assert arguments[0] == "collection" and arguments[1] in ("build", "install")


def try_doc(arguments: list[str], _folder: Path) -> None:
    parse("from ansible.cli.doc import DocCLI as CLI", ["ansible-doc", *arguments])
    for name in (word.removeprefix(COLLECTION) for word in arguments if word.startswith(COLLECTION)):
        assert name in catalog.roles() or (ROOT / "plugins/modules" / f"{name}.py").is_file()


def parse(statement: str, words: list[str]) -> None:
    """Have a command of Ansible read its arguments, in a process of its own: modules behave otherwise beside it."""
    python("-c", f"{statement}; import sys; CLI(sys.argv[1:]).parse()", *words)


PACKAGE = re.compile(r"([^\[=@ ]+)(\[[\w,]+\])?(?:==(.+)| @ git\+https://\S+)?")
WHEEL = f"./mrtrix_provision-{provision.__version__}-py3-none-any.whl"


def try_pip(arguments: list[str], _folder: Path) -> None:
    assert arguments[0] in ("install", "uninstall", "wheel")
    said = python("-m", "pip", arguments[0], "--help")
    assert [word for word in arguments if word.startswith("-") and word not in said] == []
    folder_follows = ("--wheel-dir", "--find-links")
    for before, wanted in pairwise(arguments):
        if wanted.startswith(("-", "/")) or before in folder_follows or wanted in OF_OTHERS:
            continue
        name, extras, version = PACKAGE.fullmatch(wanted).groups()
        assert name in ("mrtrix-provision", WHEEL, ".") and set((extras or "[demo]")[1:-1].split(",")) <= set(EXTRAS)
        assert (version or provision.__version__) == provision.__version__


def try_python(arguments: list[str], folder: Path) -> None:
    if arguments[:2] == ["-m", "venv"]:
        python("-m", "venv", "--without-pip", str(folder / Path(arguments[2]).name))
    else:
        try_script(arguments, folder)


def try_mkdir(arguments: list[str], _folder: Path) -> None:
    assert arguments[0] == "-p" and all(folder.startswith(("~/", "study/")) for folder in arguments[1:])


def try_source(arguments: list[str], _folder: Path) -> None:
    assert arguments in ([], ["~/provision/bin/activate"])  # what is piped, or what venv makes there


def try_pytest(arguments: list[str], _folder: Path) -> None:
    assert [word for word in arguments if "/" in word and not (ROOT / word).exists()] == []


def try_script(arguments: list[str], _folder: Path) -> None:
    assert arguments[0].startswith("benchmarks/") or arguments[0] == "docs/site.py"
    said = python(*arguments, "--help")
    assert [word for word in arguments if word.startswith("-") and f"{word} " not in said] == []


def try_mrtrix3(_arguments: list[str], _folder: Path) -> None:
    """MRtrix3's own commands are executed by tests/machine/test_documented_commands.py alone."""


def try_nothing(_arguments: list[str], _folder: Path) -> None:
    """It is the notebook's, or a program that is not ours."""


# What the pages install besides the project.
OF_OTHERS = ("dcm2niix", "tail", "head", "cp", "cat")
# What they call of MRtrix3 in cells; what is in a script or a loop is not looked at here.
MRTRIX3 = ("mrinfo", "dwi2mask", "dwi2response", "dwi2fod", "dwigradcheck", "for_each", "responsemean", "mrconvert")
TRIES = {
    "provision": try_provision, "ansible-playbook": try_playbook, "ansible-galaxy": try_galaxy, "ansible-doc": try_doc,
    "mkdir": try_mkdir, "pip": try_pip, **dict.fromkeys(MRTRIX3, try_mrtrix3),
    **dict.fromkeys(("writefile", *OF_OTHERS), try_nothing),
    "pytest": try_pytest, "python": try_python, "python3": try_python, "source": try_source,
}  # fmt: skip


def python(*words: str) -> str:
    """Run a module or a script, and return what it says."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8",
                   "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1", "PYTHONPATH": str(ROOT)}  # fmt: skip
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def nothing_happens(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    """Have the commands checked to the last option, and do nothing to this machine."""
    monkeypatch.chdir(tmp_path)  # where the sample data are made
    result = Result(0, 0.1, {"localhost": {}})
    for name, made in {"run": result, "stop": result, "remove": result, "status": Status({"hosts": {}})}.items():
        monkeypatch.setattr(provision, name, lambda *_, made=made, **__: made)
    monkeypatch.setattr(provision, "process", lambda *_, **__: Study(Path("derivatives"), ()))
    monkeypatch.setattr("provision.demo.demo.demo", lambda **_: argparse.Namespace(summary="", to_dict=dict))
    monkeypatch.setattr("provision.store.conda_lock.lock", lambda *_: argparse.Namespace(to_dict=dict))
    monkeypatch.setattr(pictures, "call", lambda _: {"file": "x.png", "alt": "x"})
    monkeypatch.setattr(machine, "call", lambda _: Diagnosis({}, 0.1))
    monkeypatch.setattr(store, "call", lambda _: result)
    monkeypatch.setattr(sys, "stdin", io.StringIO("what a file holds\n"))


# YAML


@having("yaml")
def test_yaml_is_a_playbook_an_inventory_or_steps_that_are_taken(block: Block, tmp_path: Path) -> None:
    held = yaml.safe_load(block.code)
    file = tmp_path / "example.yml"
    if isinstance(held, dict):
        file.write_text(block.code)
    if isinstance(held, dict) and "steps" in held:
        assert steps.read(["csd", str(file)])
        return
    if isinstance(held, dict):
        python("-m", "ansible", "inventory", "-i", str(file), "--list")
        return
    for play in held:
        for role in play["roles"]:
            assert role["role"].removeprefix(COLLECTION) in catalog.roles()
            check_variables(role.get("vars", {}))
    file.write_text(block.code.replace(COLLECTION, ""))
    python("-m", "ansible", "playbook", "--syntax-check", "-i", "scanners,", str(file))


def check_variables(given: dict[str, Any]) -> None:
    """Raise for what no role takes."""
    roles = catalog.roles()
    options = {name: told for name, told in given.items() if "{{" not in str(told)}
    owners = {name: role.name for role in roles.values() for name in role.options}
    for name, told in options.items():
        if name != "provision_roles":
            catalog.variables([owners[name]], {name: told})
