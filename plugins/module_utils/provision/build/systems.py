"""MRtrix3's build systems."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys

from ..commands import plain_environment, run
from ..reading import is_script
from ..store.portable import HERE_ALONE, LINK_FLAGS
from .driver import Build

# What makes g++ faster without changing its output. Almost every file starts by reading these headers, 1.2 s of 2 to
# 60; and a compiler that may use 1 GB before its first garbage collection is a tenth faster.
_PRECOMPILED = "provision-precompiled.h"
_HEADERS = ("app.h", "image.h", "algo/threaded_loop.h")
_QUICKER = f"""
{HERE_ALONE}
cpp_flags = [ '--param', 'ggc-min-heapsize=1000000', '-include', '{_PRECOMPILED}' ] + cpp_flags
"""


class Configure(Build):
    """MRtrix3 up to 3.0.x: ``./configure`` and ``./build``."""

    def configure(self):
        """Run ``./configure``, which writes the file `config`."""
        self._call_configure(self.source)
        if self._is_gcc() and all(os.path.exists(self._path("core", name)) for name in _HEADERS):
            with open(self._path("config"), "a", encoding="utf-8") as file:
                file.write(_QUICKER)

    def _call_configure(self, tree):
        environment = {"ARCH": self.cpu} if self.cpu else {}
        self.call([sys.executable, "./configure", "-nogui"], {"LINKFLAGS": LINK_FLAGS, **environment}, folder=tree)

    def _call_build(self, script, targets):
        processors = {"NUMBER_OF_PROCESSORS": str(self.jobs)}
        self.call([sys.executable, script, "-nopaginate", *targets], processors, watch=True)

    def _config(self):
        """Return the variables that `config` sets, as MRtrix3's own script reads it."""
        found = {"os": os, "shutil": shutil}
        with open(self._path("config"), encoding="utf-8") as file:
            exec(file.read(), found)
        return found

    def _is_gcc(self):
        compiler = os.path.basename(self._config()["cpp"][0])
        said = run([compiler, "--version"], plain_environment())[1]
        return compiler.startswith(("g++", "c++")) and "Free Software Foundation" in said

    def _precompile(self):
        """Precompile the headers if that has not been done, or if one has changed since."""
        # Without it, or if it fails, the compiler reads them for each file, as usual.
        config = self._config()
        if _PRECOMPILED not in config["cpp_flags"]:
            return
        # A machine that resumes another's build has `config`, but not this file.
        with open(self._path(_PRECOMPILED), "w", encoding="utf-8") as file:
            file.writelines(f'#include "{name}"\n' for name in _HEADERS)
        made = self._path(f"{_PRECOMPILED}.gch")
        headers = [
            os.path.join(folder, name) for folder, _folders, names in os.walk(self._path("core")) for name in names
        ]
        newest = max((os.path.getmtime(path) for path in headers if path.endswith(".h")), default=0)
        if os.path.exists(made) and os.path.getmtime(made) >= newest:
            return
        at = config["cpp_flags"].index("-include")
        flags = config["cpp_flags"][:at] + config["cpp_flags"][at + 2 :] + config["eigen_cflags"]
        argv = [config["cpp"][0], *flags, "-Isrc", "-Icore", "-Icmd", "-x", "c++-header", _PRECOMPILED, "-o", made]
        run(argv, plain_environment(), seconds=300, folder=self.source)

    def configured(self):
        """Return whether `config` exists."""
        return os.path.exists(self._path("config"))

    def compile(self, commands):
        """Compile the commands named, or all."""
        scripts = self._scripts()
        targets = [name for name in (f"bin/{command}" for command in commands) if name not in scripts]
        if commands and not targets:
            return
        self._precompile()
        self._call_build("./build", targets)

    def known(self):
        """Return the names of all commands that this tree can build."""
        return self._compiled() + [os.path.basename(name) for name in self._scripts()]

    def _compiled(self):
        return [name[:-4] for name in os.listdir(self._path("cmd")) if name.endswith(".cpp")]

    def _scripts(self):
        names = [f"bin/{name}" for name in os.listdir(self._path("bin"))]
        return [name for name in names if is_script(self._path(name))]


class CMake(Build):
    """MRtrix3 from 3.1 on and the branch `dev`: CMake with Ninja."""

    def configure(self):
        """Make the folder `build`."""
        flags = [f"-DCMAKE_CXX_FLAGS=-march={self.cpu}"] if self.cpu else []
        # Ninja passes each link to a shell, which must not expand $ORIGIN.
        link = LINK_FLAGS.replace("$ORIGIN", "'$ORIGIN'")
        flags += [f"-DCMAKE_{kind}_LINKER_FLAGS={link}" for kind in ("EXE", "SHARED")]
        self.call(
            [
                "cmake",
                "-S",
                ".",
                "-B",
                "build",
                "-G",
                "Ninja",
                "-DCMAKE_BUILD_TYPE=Release",
                "-DMRTRIX_BUILD_GUI=OFF",
                "-DMRTRIX_ENABLE_GPU=OFF",
                "-DMRTRIX_USE_SYSTEM_EIGEN=ON",
                "-DMRTRIX_PYTHON_SOFTLINK=OFF",
                # Programs in the build folder find their library where it will be installed.
                "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
                # The user's package registry may name other builds.
                "-DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF",
                *flags,
            ]
        )

    def configured(self):
        """Return whether CMake has finished configuring."""
        return os.path.exists(self._path("build", "build.ninja"))

    def compile(self, commands):
        """Compile the commands named, or all; MRtrix3 builds all compiled commands for a Python command."""
        targets = ["--target", *commands] if commands else []
        self.call(
            ["cmake", "--build", "build", "-j", str(self.jobs), *targets], {"NINJA_STATUS": "[%f/%t] "}, watch=True
        )

    def known(self):
        """Return the names of all commands that this tree can build."""
        compiled = os.listdir(self._path("cpp", "cmd"))
        scripts = os.listdir(self._path("python", "mrtrix3", "commands"))
        names = {os.path.splitext(name)[0] for name in compiled + scripts}
        return sorted(names - {"CMakeLists", "__init__"})


# https://mrtrix.readthedocs.io/en/latest/tips_and_tricks/external_modules.html
class Module(Configure):
    """An external module: the script `build` of its MRtrix3, called in the module's folder."""

    def __init__(self, against, *given):
        super().__init__(*given)
        self.against = against
        self.title, self.option = f"The module {os.path.basename(self.source)}", "mrpeek_jobs"

    def settings(self):
        """Return what the objects depend on, including the configuration of MRtrix3, which is made if missing."""
        config = os.path.join(self.against, "config")
        if not os.path.exists(config):
            self._call_configure(self.against)
        with open(config, "rb") as file:
            return {**super().settings(), "against": self.against, "config": hashlib.sha256(file.read()).hexdigest()}

    def configure(self):
        """Delete what was built with other settings."""
        for name in ("tmp", "bin", "lib"):
            shutil.rmtree(self._path(name), ignore_errors=True)

    def configured(self):
        """Return that there is nothing to configure."""
        return True

    def compile(self, commands):
        """Compile all commands of the module, or those named."""
        self._call_build(os.path.join(self.against, "build"), [f"bin/{command}" for command in commands])

    def known(self):
        """Return the names of the module's commands."""
        return self._compiled()


def system_of(source, against, *given):
    """Return the Build for a tree."""
    if against:
        return Module(against, source, *given)
    system = CMake if os.path.exists(os.path.join(source, "CMakeLists.txt")) else Configure
    return system(source, *given)
