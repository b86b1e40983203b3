"""A source tree with a build script of our own in MRtrix3's place."""

import os
import shutil
import subprocess

import pytest

from plugins.module_utils.provision.build.tree import build

CONFIGURE = """#!/usr/bin/env python3
import os
flags = ['-march=' + os.environ['ARCH']] if 'ARCH' in os.environ else []
open('config', 'w').write(f"cpp = ['c++']\\ncpp_flags = {flags}\\neigen_cflags = []\\n")
"""
BUILD = """#!/usr/bin/env python3
import os, shutil, sys, time
targets = [a for a in sys.argv[1:] if a[0] != '-'] or ['bin/mrinfo', 'bin/tckgen']
todo = [t for t in targets if not os.path.exists(t)]
for number, target in enumerate(todo, 1):
    print('({:>2}/{}) [LB] {}'.format(number, len(todo), target), flush=True)
    end = time.monotonic() + (float(open('step').read()) if os.path.exists('step') else 0)
    while time.monotonic() < end and not os.path.exists('go'):
        time.sleep(0.02)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy('/bin/true', target)
print('jobs', os.environ['NUMBER_OF_PROCESSORS'])
if os.path.exists('say'):
    sys.exit(open('say').read())
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A source tree laid out as MRtrix3's, whose build takes no time, and a compiler that only tells its version."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "c++").write_text("#!/bin/sh\necho c++ 12\n")
    (tmp_path / "path" / "c++").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "path"), prepend=os.pathsep)
    tree = tmp_path / "mrtrix3"
    for folder in ("bin", "cmd", "lib", "tmp"):
        (tree / folder).mkdir(parents=True)
    for name, text in (("configure", CONFIGURE), ("build", BUILD), ("bin/dwi2response", "#!/usr/bin/env python\n")):
        (tree / name).write_text(text)
    for name in ("cmd/mrinfo.cpp", "cmd/tckgen.cpp", "core/app.h", "core/image.h", "core/algo/threaded_loop.h"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("")
    return tree


def compile_(source, commands=(), cpu="", tell=lambda *_: None, store="", commit="", against="", warn=print):
    return build(str(source), list(commands), cpu, 1, tell, warn, str(store), commit, str(against))


@pytest.fixture(autouse=True)
def _no_hangup(monkeypatch):
    """pytest's own standard output may be a file; the build watches a pipe."""
    reader, writer = os.pipe()
    saved = os.dup(1)
    os.dup2(writer, 1)
    yield
    os.dup2(saved, 1)
    for descriptor in (reader, writer, saved):
        os.close(descriptor)


@pytest.fixture
def clone(source, tmp_path):
    """Return a function that makes a fresh clone of the source tree, as a fresh machine does, and its commit."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    environment = {
        **os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull,
        **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        "GIT_COMMITTER_DATE": "1600000000 +0000",
    }  # fmt: skip
    for folder in ("lib", "tmp"):  # which git does not keep when they are empty
        (source / folder / ".keep").write_text("")

    def git(*argv):
        done = subprocess.run(["git", *argv], check=True, env=environment, capture_output=True, text=True)
        return done.stdout.strip()

    git("-C", source, "init", "-q")
    git("-C", source, "add", ".")
    git("-C", source, "commit", "-q", "-m", "sources")

    def make(name):
        git("clone", "-q", f"file://{source}", tmp_path / name)
        return tmp_path / name, git("-C", source, "rev-parse", "HEAD")

    return make


def settle(tree):
    """Make all that was built look as if it had been finished a while ago: what is new is not kept yet."""
    for path in tree.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            os.utime(path, (path.stat().st_mtime - 60,) * 2)
