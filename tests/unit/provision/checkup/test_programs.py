"""The table of what scripts need is compared with the scripts themselves.

PROVISION_TEST_MRTRIX3_SOURCES names the sources of MRtrix3 3.0.8, or a bare clone; without it these tests are skipped.
"""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.checkup.programs import NEEDS
from provision.machine.releases import COMMITS

# Set by the shell or by the queue of a cluster, not by a user for a script.
NOT_ASKED_FOR = {"PATH", "SGE_ROOT"}
# On every machine.
EVERYWHERE = {"cp"}
# As each function that looks for a program does, under Debian's old name, too.
LOOKED_FOR = {
    "fsl.exe_name": lambda name: {name, f"fsl5.0-{name}"},
    "find_executable": lambda name: {name},
    "which": lambda name: {name},
    "shutil.which": lambda name: {name},
    "os.system": lambda text: {text.split()[0]} - EVERYWHERE,
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The folder with `bin` and `lib`, from a tree or from the release in a bare clone."""
    named = os.environ.get("PROVISION_TEST_MRTRIX3_SOURCES")
    if not named:
        pytest.skip("PROVISION_TEST_MRTRIX3_SOURCES does not name the sources of MRtrix3 3.0.8.")
    if Path(named, "bin").is_dir():
        return Path(named)
    archive = subprocess.run(
        ["git", "--git-dir", named, "archive", COMMITS["3.0.8"], "bin", "lib"], stdout=subprocess.PIPE, check=True
    )
    folder = tmp_path_factory.mktemp("mrtrix3")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return folder


def modules(sources: Path) -> dict[str, list[Path]]:
    """Return the files of each script, with those of each of its algorithms."""
    found = {}
    for script in sorted((sources / "bin").iterdir()):
        first = script.read_bytes().partition(b"\n")[0]
        if not (first.startswith(b"#!") and b"python" in first):
            continue
        folder = sources / "lib/mrtrix3" / re.sub(r"^(?=\d)", "_", script.name)
        algorithms = [path for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
        found |= {f"{script.name} {path.stem}": [script, path] for path in algorithms} or {script.name: [script]}
    return found


def read(file: Path, library: dict[str, ast.AST]) -> list[ast.AST]:
    """Return the nodes of a file and of the functions of `fsl` that it calls, but for `exe_name`, see `LOOKED_FOR`."""
    nodes, seen, waiting = [], {"exe_name"}, [ast.parse(file.read_text("utf-8"))]
    while waiting:
        nodes += ast.walk(waiting.pop())
        called = {name.removeprefix("fsl.") for name, _ in calls(nodes)} & set(library) - seen
        seen |= called
        waiting += [library[name] for name in called]
    return nodes


def calls(nodes: list[ast.AST]) -> Iterator[tuple[str, list[ast.expr]]]:
    """Yield the name of each function that is called, and the arguments."""
    for node in nodes:
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.args


def texts(node: ast.expr, loops: dict[str, list[str]]) -> list[str]:
    """Return the values of a text, or of the variable of a loop over texts; of a sum, those of its first part."""
    match node:
        case ast.Constant(str(text)):
            return [text]
        case ast.Name(name):
            return loops.get(name, [])
        case ast.BinOp(left, ast.Add()):
            return texts(left, loops)
    return []


def programs_of(nodes: list[ast.AST]) -> set[str]:
    """Return the programs that are looked for, or called by a shell."""
    loops = {
        node.target.id: [text for part in node.iter.elts for text in texts(part, {})]
        for node in nodes
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name) and isinstance(node.iter, ast.List)
    }
    looked_for = [(LOOKED_FOR[name], args[0]) for name, args in calls(nodes) if name in LOOKED_FOR]
    return {program for names, given in looked_for for text in texts(given, loops) for program in names(text)}


def variable_of(node: ast.AST) -> str:
    """Return the variable of the environment that an expression reads; an empty string if it reads none."""
    pattern = r"os\.environ\['(\w+)'\]|os\.(?:environ\.get|getenv)\('(\w+)'.*\)|'(\w+)' (?:not )?in os\.environ"
    found = re.fullmatch(pattern, ast.unparse(node)) if isinstance(node, ast.expr) else None
    return next(filter(None, found.groups())) if found else ""


def files_of(nodes: list[ast.AST]) -> set[str]:
    """Return the files whose paths are joined to a variable, or to a name that holds one."""
    held = {
        ast.unparse(node.targets[0]): variable
        for node in nodes
        if isinstance(node, ast.Assign) and (variable := variable_of(node.value))
    }
    joined = [args for name, args in calls(nodes) if name == "os.path.join"]
    below = [(held.get(ast.unparse(start)) or variable_of(start), parts) for start, *parts in joined]
    return {
        "/".join([f"${variable}", *(text for part in parts for text in texts(part, {}))])
        for variable, parts in below
        if variable
    }


def test_the_scripts_of_the_table_are_those_that_there_are(sources):
    assert sorted(NEEDS) == sorted(modules(sources))


@pytest.mark.parametrize("name", NEEDS)
def test_what_the_table_says_of_a_script_is_what_the_script_looks_for(sources, name):
    fsl = ast.parse((sources / "lib/mrtrix3/fsl.py").read_text("utf-8"))
    library = {node.name: node for node in fsl.body if isinstance(node, ast.FunctionDef)}
    files, table = modules(sources)[name], NEEDS[name]
    nodes = [node for file in files for node in read(file, library)]
    old = {"python2"} if b"python2" in files[0].read_bytes().partition(b"\n")[0] else set()
    assert {program.removesuffix("*") for need in table for program in need.programs} == programs_of(nodes) | old
    variables = set(filter(None, map(variable_of, nodes)))
    assert {need.name for need in table if not (need.programs or need.files)} == variables - NOT_ASKED_FOR
    assert {file for need in table for file in need.files} == files_of(nodes)
