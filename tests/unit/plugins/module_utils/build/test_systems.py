"""MRtrix3's build systems, with a build script of our own in MRtrix3's place."""

import subprocess

import pytest

from plugins.module_utils.provision.build.driver import BuildError

from .source_tree import compile_, settle


@pytest.fixture
def module(source, tmp_path):
    """An external module of that MRtrix3."""
    tree = tmp_path / "mrpeek"
    (tree / "cmd").mkdir(parents=True)
    (tree / "bin").mkdir()
    (tree / "cmd/mrpeek.cpp").write_text("")
    return tree


def test_a_module_is_built_by_the_mrtrix3_it_is_built_against(source, module):
    compile_(source, ["mrinfo"])
    assert compile_(module, ["mrpeek"], against=source).steps == 1
    assert (module / "bin/mrpeek").exists()
    assert not (source / "bin/mrpeek").exists()


def test_an_mrtrix3_that_nobody_configured_is_configured_for_a_module_and_not_compiled(source, module):
    compile_(module, ["mrpeek"], "x86-64-v3", against=source)
    assert "-march=x86-64-v3" in (source / "config").read_text()
    assert "-include" not in (source / "config").read_text()  # of a header that the module would not find
    assert not (source / "bin/mrinfo").exists()


def test_a_module_is_built_anew_when_its_mrtrix3_was_configured_otherwise(source, module):
    compile_(module, ["mrpeek"], against=source)
    assert compile_(module, ["mrpeek"], against=source).steps == 0
    (source / "config").write_text((source / "config").read_text() + "ld_flags = []\n")
    assert compile_(module, ["mrpeek"], against=source).steps == 1


def test_a_command_that_a_module_does_not_have_is_named(source, module):
    with pytest.raises(BuildError) as caught:
        compile_(module, ["mrpek"], against=source)
    assert caught.value.code == "no-command" and "'mrpek'" in caught.value.message
    assert "'mrpeek'" in caught.value.hint


def test_another_processor_is_configured_anew(source):
    compile_(source, cpu="x86-64")
    assert "['-march=x86-64']" in (source / "config").read_text()
    compile_(source, cpu="x86-64-v3")
    assert "['-march=x86-64-v3']" in (source / "config").read_text()


def test_a_machine_without_a_compiler_is_told_what_brings_one(source, tmp_path):
    (tmp_path / "path" / "c++").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(BuildError) as caught:
        compile_(source)
    assert caught.value.code == "no-compiler" and "provision run deps" in caught.value.hint


@pytest.mark.parametrize(
    "name",
    [
        "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "LDLIB_FLAGS", "CPATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH",
        "LD_LIBRARY_PATH", "LD_PRELOAD", "CC", "CXX", "CXX_ARGS", "LD", "ARCH", "LINKFLAGS", "MAKEFLAGS",
        "EIGEN_CFLAGS", "ZLIB_LDFLAGS", "CMAKE_PREFIX_PATH", "CMAKE_GENERATOR", "PKG_CONFIG_PATH", "PYTHONPATH",
        "PYTHONHOME", "GIT_DIR", "NUMBER_OF_PROCESSORS", "GCC_EXEC_PREFIX", "COMPILER_PATH", "DEPENDENCIES_OUTPUT",
    ],
)  # fmt: skip
def test_what_the_caller_exports_reaches_no_build(source, monkeypatch, name):
    for script in ("configure", "build"):
        text = (source / script).read_text()
        (source / script).write_text(f"{text}\nopen('given', 'a').write(repr(dict(os.environ)))\n")
    monkeypatch.setenv(name, "-march=native")
    compile_(source, cpu="x86-64")
    assert "march=native" not in (source / "given").read_text()


@pytest.mark.parametrize("error", [subprocess.TimeoutExpired("c++", 300), FileNotFoundError(2, "No such file", "c++")])
def test_headers_that_cannot_be_precompiled_stop_no_build(source, tmp_path, monkeypatch, error):
    (tmp_path / "path" / "c++").write_text("#!/bin/sh\necho c++ 12, Free Software Foundation\n")
    real = subprocess.run

    def run(argv, **kwargs):
        if "c++-header" in argv:
            raise error
        return real(argv, **kwargs)

    monkeypatch.setattr(subprocess, "run", run)
    assert compile_(source).steps == 2


def test_a_fresh_machine_has_all_files_that_its_configuration_includes(clone, tmp_path):
    (tmp_path / "path" / "c++").write_text("#!/bin/sh\necho c++ 12, Free Software Foundation\n")
    first, commit = clone("first")
    work = compile_(first, ["mrinfo"], store=tmp_path / "store", commit=commit)
    assert "provision-precompiled.h" in (first / "config").read_text()
    settle(first)
    work.checkpoint.keep()
    second, _ = clone("second")
    compile_(second, store=tmp_path / "store", commit=commit)
    assert (second / "config").read_text() == (first / "config").read_text()
    assert (second / "provision-precompiled.h").exists()
