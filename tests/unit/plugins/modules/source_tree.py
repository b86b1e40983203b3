"""A source tree with a build script of our own in MRtrix3's place."""

import os

import pytest

from plugins.modules import mrtrix3_build as build

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
    time.sleep(float(open('step').read()) if os.path.exists('step') else 0)
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
    with build.tree_locked(str(source)) as lock:
        return build.build(str(source), list(commands), cpu, 1, tell, warn, lock, str(store), commit, str(against))


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
