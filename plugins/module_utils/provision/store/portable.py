"""Making a built MRtrix3 relocatable: with its libraries, and with what is needed to compile modules against it."""

from __future__ import annotations

import ast
import glob
import os
import platform
import re
import shutil
import time

from ..commands import plain_environment, run
from ..cpu import cpu_flags
from ..reading import is_elf, is_script
from ..system import os_release

# The folder of the libraries: `build` deletes foreign libraries from `lib` itself, but not below it.
BUNDLE = "lib/bundled"

# With these flags, programs and the libraries they load find their libraries in BUNDLE: DT_RPATH (see ld.so(8)) also
# applies to libraries of libraries, the newer DT_RUNPATH does not. $ORIGIN/.. is the prefix for files in bin and lib.
LINK_FLAGS = f"-Wl,--disable-new-dtags -Wl,-rpath,$ORIGIN/../{BUNDLE}"

# The parts of the GNU C library, which must be the machine's own, as the loader demands. Names: libc6's file list.
_GLIBC = re.compile(
    r"^(ld-linux.*|linux-vdso.*|lib(c|m|mvec|pthread|dl|rt|resolv|util|nsl|anl|thread_db|BrokenLocale"
    r"|c_malloc_debug|memusage|pcprofile|nss_\w+))\.so"
)

# What MRtrix3's headers include besides the compiler's and glibc's, in /usr/include and its architecture's subfolder.
_HEADERS = ("eigen3", "zlib.h", "zconf.h", "png*.h", "tiff*.h*", "fftw3.h")

# The release that introduced what this kind of relocation table needs (-z pack-relative-relocs).
_SPECIAL_VERSIONS = {"GLIBC_ABI_DT_RELR": "2.36"}


class PortableError(Exception):
    """A build that cannot be made relocatable; the message is for people."""


# --- Gathering --------------------------------------------------------------------------------------------------------


def use_python3(path):
    """Change ``python`` to ``python3`` in a script's first line: Debian and Ubuntu have no ``python``."""
    with open(path, "rb") as file:
        first, rest = file.readline(), file.read()
    if re.fullmatch(rb"#!\s*/usr/bin/env python\s*", first):
        with open(path, "wb") as file:
            file.write(b"#!/usr/bin/env python3\n" + rest)


def strip(paths):
    """Strip the symbols from programs and libraries, if binutils is installed."""
    if paths:
        run(["strip", "--strip-unneeded", *paths], seconds=None)  # files that it cannot strip stay as they are


def gather(trees, folder):
    """Copy ``bin``, ``lib`` and ``share``, each from the first tree that has it, and the licence into a folder."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc", "purged_files", ".*", "*.a", "*.o", "cmake_install.cmake")
    for top in ("bin", "lib", "share"):
        source = next((tree for tree in trees if os.path.isdir(os.path.join(tree, top))), None)
        if source:
            shutil.copytree(os.path.join(source, top), os.path.join(folder, top), symlinks=True, ignore=ignore)
    for name in ("LICENCE.txt", "LICENSE"):
        for tree in trees:
            if os.path.exists(os.path.join(tree, name)):
                shutil.copy2(os.path.join(tree, name), folder)


def gather_libraries(build, folder):
    """Copy the shared libraries that CMake left beside their objects to ``lib``, where programs look for them."""
    for path in glob.glob(os.path.join(build, "**", "lib*.so*"), recursive=True):
        target = os.path.join(folder, "lib", os.path.basename(path))
        if not os.path.lexists(target):
            shutil.copy2(path, target, follow_symlinks=False)


def finish(folder):
    """Prepare gathered files to run: fix the name of Python, and strip symbols."""
    for name in os.listdir(os.path.join(folder, "bin")):
        path = os.path.join(folder, "bin", name)
        if os.path.isfile(path) and not os.path.islink(path) and is_script(path):
            use_python3(path)
    strip(elves_in(folder))


def gather_tree(source, folder):
    """Copy a built source tree into a folder, so that it runs and can build modules on other machines too."""
    build = os.path.join(source, "build")  # CMake's folder; the older build system has a script of that name
    gather([build, source], folder)
    gather_libraries(build, folder)
    finish(folder)
    bundle_libraries(folder)
    carry_module_parts(source, folder)
    _level_times(folder)


def _level_times(folder):
    """Give all files the same time."""
    # MRtrix3's build recompiles what is older than its sources, and the core library's objects are not included.
    now = time.time()
    for parent, _folders, names in os.walk(folder):
        for name in names:
            os.utime(os.path.join(parent, name), (now, now), follow_symlinks=False)


# --- The bundled libraries --------------------------------------------------------------------------------------------


def elves_in(folder):
    """Return the programs and libraries below ``bin`` and ``lib`` of a folder."""
    found = []
    for top in ("bin", "lib"):
        for parent, _folders, names in os.walk(os.path.join(folder, top)):
            paths = [os.path.join(parent, name) for name in sorted(names)]
            found += [path for path in paths if not os.path.islink(path) and is_elf(path)]
    return found


def needed_libraries(paths):
    """Return {name: path} of the shared libraries that programs need, recursively; PortableError if one is missing."""
    found = {}
    for begin in range(0, len(paths), 100):
        # Without the caller's environment, whose LD_LIBRARY_PATH would change the result.
        code, said, error = run(["ldd", *paths[begin : begin + 100]], plain_environment(), seconds=None)
        if code == 127:
            raise PortableError(f"ldd could not be run: {error}.")
        missing = re.findall(r"^\s*(\S+) => not found", said, re.M)
        if missing:
            raise PortableError(f"The library {missing[0]} is missing.")
        found.update(re.findall(r"^\s*(\S+) => (/\S+) \(0x", said, re.M))
    return found


def bundle_libraries(folder, programs=()):
    """Copy the shared libraries that a folder's programs need, except glibc, into it; return their names."""
    # `programs` are originals that find their libraries from where they were built, unlike the copies in the folder.
    inside = os.path.realpath(folder) + os.sep
    needed = {
        name: path
        for name, path in needed_libraries(list(programs) or elves_in(folder)).items()
        if not _GLIBC.match(name) and not os.path.realpath(path).startswith(inside)
    }
    target = os.path.join(folder, BUNDLE)
    os.makedirs(target, exist_ok=True)
    for name, path in needed.items():
        shutil.copy2(os.path.realpath(path), os.path.join(target, name))
        os.chmod(os.path.join(target, name), 0o644)
    _copy_licences(needed.values(), os.path.join(folder, BUNDLE, "licences"))
    return sorted(needed)


def _copy_licences(paths, target):
    """Copy the copyright files of libraries, as their licences demand."""
    os.makedirs(target, exist_ok=True)
    # With a merged /usr each library has two paths, of which dpkg knows one.
    spellings = {spelling for path in paths for spelling in (path, os.path.realpath(path), path.replace("/usr", "", 1))}
    _code, said, _error = run(["dpkg-query", "-S", *sorted(spellings)], seconds=None)
    for package in sorted(set(re.findall(r"^([^:\s]+)(?::\S+)?: /", said, re.M))):
        text = f"/usr/share/doc/{package}/copyright"
        if os.path.exists(text):
            shutil.copyfile(text, os.path.join(target, f"{package}.txt"))


def needed_glibc(folder):
    """Return the oldest release of glibc with which all programs and libraries of a folder run, such as ``2.34``."""
    # Each contains the names of the releases that its symbols need (symbol versioning, .gnu.version_r).
    found = {"2.0"}
    for path in elves_in(folder):
        with open(path, "rb") as file:
            content = file.read()
        found.update(version.decode() for version in re.findall(rb"\0GLIBC_(\d+\.\d+)(?=[.\0])", content))
        found.update(number for name, number in _SPECIAL_VERSIONS.items() if name.encode() in content)
    return max(found, key=lambda version: [int(number) for number in version.split(".")])


# --- What building a module needs -------------------------------------------------------------------------------------

# Lines after this one in a tree's `config` apply to that tree only.
HERE_ALONE = "# Of no use elsewhere:"

# Appended to MRtrix3's `config`, which `build` executes and which holds the paths of the machine that it was made on.
_RELOCATED = """

# Where this MRtrix3 is now: its own headers and libraries, found from the place of this file. With them a module
# compiles on a machine that has a compiler and nothing else of what MRtrix3 itself was built with.
_here = os.path.dirname (os.path.abspath (config_file))
_bundled = os.path.join (_here, {bundle!r})
PATH = os.environ.get ('PATH', PATH)
if not shutil.which (cpp[0]):
  cpp[0] = ld[0] = ld_lib[0] = 'c++'
_include = os.path.join (_here, 'include')
cpp_flags = [ '-isystem', _include ] + cpp_flags
eigen_cflags = [ '-isystem', os.path.join (_include, 'eigen3') ] + eigen_cflags
# A library that no command here uses has not come along.
_names = [ flag[2:] for flag in ld_flags if flag.startswith ('-l') ]
_gone = [ '-l' + name for name in _names if not os.path.exists (os.path.join (_bundled, 'lib' + name + '.so')) ]
ld_flags = [ '-L' + _bundled, '-Wl,-rpath-link,' + _bundled ] + [ flag for flag in ld_flags if flag not in _gone ]
"""


def carry_module_parts(source, folder):
    """Copy into a folder what MRtrix3's script `build` needs to compile a module against it."""
    # `build` would compile what it does not find. Only MRtrix3 up to 3.0.x has that script.
    if not os.path.exists(os.path.join(source, "config")):
        return
    shutil.copytree(
        os.path.join(source, "core"),
        os.path.join(folder, "core"),
        ignore=lambda _, names: [name for name in names if name.endswith(".cpp") and name != "version.cpp"],
    )
    shutil.copytree(os.path.join(source, "src"), os.path.join(folder, "src"), ignore=shutil.ignore_patterns("gui"))
    shutil.copytree(os.path.join(source, "tmp/src"), os.path.join(folder, "tmp/src"))
    os.makedirs(os.path.join(folder, "tmp/core"))
    shutil.copy2(os.path.join(source, "tmp/core/version.o"), os.path.join(folder, "tmp/core"))
    shutil.copy2(os.path.join(source, "build"), folder)
    _carry_headers(os.path.join(folder, "include"))
    with open(os.path.join(source, "config"), encoding="utf-8") as file:
        config = file.read().partition(HERE_ALONE)[0]
    with open(os.path.join(folder, "config"), "w", encoding="utf-8") as file:
        file.write(config + _RELOCATED.format(bundle=BUNDLE))
    _link_for_linking(os.path.join(folder, BUNDLE), config)


def _carry_headers(target):
    os.makedirs(target, exist_ok=True)
    for top in ("/usr/include", *glob.glob(f"/usr/include/{platform.machine()}-linux-gnu")):
        for pattern in _HEADERS:
            for path in glob.glob(os.path.join(top, pattern)):
                copy = shutil.copytree if os.path.isdir(path) else shutil.copyfile
                copy(path, os.path.join(target, os.path.basename(path)))


def _link_for_linking(bundle, config):
    """Link each library that `config` names with ``-l`` under the name that the linker looks for."""
    for name in set(re.findall(r"'-l(\w+)'", config)):
        found = sorted(glob.glob(os.path.join(bundle, f"lib{name}.so.*")))
        link = os.path.join(bundle, f"lib{name}.so")
        if found and not os.path.lexists(link):
            os.symlink(os.path.basename(found[0]), link)


def flags_in_config(source):
    """Return the compiler flags in MRtrix3's `config`, an empty string if there is none."""
    try:
        with open(os.path.join(source, "config"), encoding="utf-8") as file:
            found = re.search(r"^cpp_flags = (\[.*?\])", file.read(), re.M | re.S)
        return " ".join(ast.literal_eval(found.group(1))) if found else ""
    except (OSError, ValueError, SyntaxError):
        return ""


# --- The manifest -----------------------------------------------------------------------------------------------------


def describe(folder, tool, version, cpu, commands, asked, **more):
    """Return the manifest of an installation made on this machine; packing completes it."""
    release = os_release()
    manifest = {
        "tool": tool, "version": version, "cpu": cpu, "commands": sorted(commands), "asked": sorted(asked),
        "complete": not asked,
        "release": release.get("ID", "") + "-" + release.get("VERSION_ID", ""),
        "arch": platform.machine(), "glibc": needed_glibc(folder), **more,
    }  # fmt: skip
    if cpu == "native":
        manifest["cpu_flags"] = sorted(cpu_flags())
    return manifest
