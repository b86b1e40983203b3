"""The package carries its Ansible content, and finds it however it was installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTENT = ("roles", "playbooks", "plugins", "inventory")
WHERE = "import provision.engine.content; print(provision.engine.content.root())"


def call(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def caches(_: str, names: list[str]) -> set[str]:
    return {name for name in names if name == "__pycache__" or name.startswith(".")}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files a build reads, in a place where it may leave things behind."""
    clone = tmp_path_factory.mktemp("clone")
    for name in ("provision", "tests", *CONTENT):
        shutil.copytree(ROOT / name, clone / name, ignore=caches, symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", "ansible.cfg"):
        shutil.copy(ROOT / name, clone)
    bytecode = clone / "plugins/modules/__pycache__/left.cpython-311.pyc"
    bytecode.parent.mkdir()
    bytecode.touch()
    return clone


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dist = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, cwd=clone)
    return next(dist.glob("*.whl"))


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """The Python of an environment that sees the packages installed here, but not this project."""
    venv.create(tmp_path / "venv", with_pip=False)
    site = next((tmp_path / "venv/lib").glob("python*/site-packages"))
    # What a .pth file names is searched, but the .pth files in it are not read, such as this project's.
    (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return tmp_path / "venv/bin/python"


def install(fresh: Path, *what: str | Path) -> None:
    call(
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "--python",
        fresh,
        "install",
        "--no-deps",
        "--no-build-isolation",
        "--ignore-installed",
        *what,
        cwd=fresh.parent,
    )


def files(folder: Path) -> set[str]:
    """The content that a wheel is to have."""
    found = [path for name in CONTENT for path in (folder / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)) for path in [*found, folder / "ansible.cfg"] if path.suffix != ".pyc"}


def test_wheel_has_the_content_and_no_tests(clone: Path, wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    packed = {name.removeprefix("provision/_ansible/") for name in names if name.startswith("provision/_ansible/")}
    assert packed == files(clone)
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"provision", "mrtrix_provision"}
    assert [name for name in names if "test" in name] == []


def test_sdist_has_all_of_the_clone_but_the_pictures_and_what_serves_its_host(clone: Path, tmp_path: Path) -> None:
    found = [path for path in clone.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    wanted = {str(path.relative_to(clone)) for path in found}
    linked = clone / "plugins/module_utils/provision"
    wanted |= {f"provision/machine/{path.relative_to(linked)}" for path in found if path.is_relative_to(linked)}
    for name in (".ci", ".github", "docs/pictures"):
        (clone / name).mkdir(parents=True)
        (clone / name / "test.yml").touch()
    call(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path, cwd=clone)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as tar:
        assert sorted(name.partition("/")[2] for name in tar.getnames()) == sorted([*wanted, "PKG-INFO"])


def test_content_is_found_in_an_installed_wheel(fresh: Path, wheel: Path) -> None:
    install(fresh, wheel)
    found = Path(call(fresh, "-c", WHERE, cwd=fresh.parent))
    assert found.parts[-3:] == ("site-packages", "provision", "_ansible")
    assert (found / "ansible.cfg").is_file()


def test_content_is_found_in_the_clone_of_an_editable_install(fresh: Path, clone: Path) -> None:
    install(fresh, "--editable", clone)
    assert call(fresh, "-c", WHERE, cwd=fresh.parent) == str(clone)


def test_content_is_found_in_a_clone(fresh: Path, clone: Path) -> None:
    assert call(fresh, "-c", WHERE, cwd=clone) == str(clone)
