"""Installing a tool after testing it, and removing it again."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import contextmanager

from ..conda.fetch import fetch_all, forget
from ..conda.install import lay_out_packages, link_commands
from ..conda.lock import read_lock
from ..cpu import cpu_flags
from ..failures import Problem, failure
from ..file_lock import Locked, locked
from ..files import drop_file, make_folder, plain_modes, write_json
from ..progress import teller
from ..reading import names_in, read_json
from ..store.choose import candidates, why_not_here, why_not_wanted
from ..store.errors import BadArchive, StoreError, is_broken
from ..store.manifest import MANIFEST
from ..store.members import unpack
from ..store.names import set_aside
from ..store.offer import reached
from ..store.portable import PortableError, describe
from ..store.read import read_archive
from ..system import look_at_machine
from ..versions import satisfies
from .environment import drop_profile, make_profile, variables
from .path import links_to, missing_links
from .prefix import RECEIPT, is_ours, prefix_problem
from .staging import discard, drop_leftovers, exchange, staging
from .trial import without_rights

_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878, section 3.1.1


class InstallError(Problem):
    """An installation that cannot be used."""

    code = "unusable"


def this_machine():
    """Return the facts about this machine that matter for choosing a build."""
    return dict(look_at_machine(), flags=sorted(cpu_flags()))


class Tool:
    """How a tool is installed; subclasses hold what is specific to one. `given` are the module's parameters."""

    def __init__(self, about_it):
        self.about_it = about_it  # the tool as the role describes it
        self.name = about_it["name"]  # as a store's archives name it
        self.title = about_it["title"]  # as people do

    # --- What is specific to a tool -----------------------------------------------------------------------------------

    def gather(self, given, folder):
        """Copy the installation from a built tree into a folder."""
        raise NotImplementedError

    def unpack(self, given, folder):
        """Unpack an archive from outside a store into a folder."""
        raise NotImplementedError

    def smoke_test(self, folder):
        """Run commands in a folder's ``bin``; return (version or an empty string, commands) or raise InstallError."""
        raise NotImplementedError

    def commands_in(self, folder):
        """Return the commands of an existing folder that are linked."""
        return []

    def version_in_place(self, folder, foreign):
        """Test the commands of an existing folder; return the version they report, or raise InstallError."""
        raise NotImplementedError

    def is_exact(self, given):
        """Return whether the commands report the version wanted, which they do not for a branch or commit."""
        return False

    def noted(self):
        """Return further entries for the state file."""
        return {}

    def about(self, given, folder):
        """Return further fields for the manifest of a build."""
        return {}

    def report(self, given, manifest):
        """Return further fields for the role's report."""
        return {}

    # --- Installing ---------------------------------------------------------------------------------------------------

    def install(self, given):
        """Install the tool and return the state that was noted."""
        start = time.monotonic()
        if given["bin"]:  # the commands are already in their place
            told, manifest, link_dir = self._told_in_place(given), {}, given["link_dir"] or ""
            commands = self.commands_in(given["bin"]) if link_dir else []
            place = {"prefix": os.path.dirname(given["bin"]), "bin": given["bin"]}
        else:
            told, commands, manifest = self._place(given)
            link_dir = given["link_dir"] or ""
            place = {"prefix": given["prefix"], "bin": os.path.join(given["prefix"], "bin")}
        report = {
            "version": told or given["version"],
            **place,
            "origin": given["origin"],
            **self.report(given, manifest),
            **(given.get("report") or {}),
            "seconds": round(given["seconds"] + time.monotonic() - start, 1),
        }
        if manifest.get("build_seconds"):
            report["build_seconds"] = manifest["build_seconds"]
        asked = given["commands"]
        return self.note(given, {
            **given["extra"], **self.noted(), "report": report, "commands": commands, "asked": asked,
            "link_dir": link_dir, "version": self._version_of_build(report["version"], given),
            "complete": manifest.get("complete", not asked), "lock": manifest.get("lock", ""),
        })  # fmt: skip

    def _told_in_place(self, given):
        told = self.version_in_place(given["bin"], given["origin"] == "present")
        self.check_version(told, given)
        return told

    def move(self, given):
        """Move the installation to another prefix, or its links to another folder, and return the state."""
        state = read_json(given["state_file"])
        report = state["report"]
        if report["prefix"] != given["prefix"]:
            self._place({**given, "origin": report["origin"], "version": "any", "moved": report["prefix"]})
        old, new = report["prefix"], given["prefix"]
        moved = {
            name: new + value[len(old) :] if isinstance(value, str) and (value + os.sep).startswith(old + os.sep)
            else value for name, value in report.items()
        }  # fmt: skip
        return self.note(given, {**state, "report": moved, "link_dir": given["link_dir"] or ""})

    def note(self, given, state):
        """Link the commands, replace the old note with the new state, and return it."""
        old, report = read_json(given["state_file"]), state["report"]
        state.pop("pending", None)
        for former in (old, *old.get("pending", [])):
            same = former.get("link_dir") == state["link_dir"] and _bin_of(former) == report["bin"]
            drop_links(former, keep=state["commands"] if same else ())
            # One of them may be a link to the other.
            if os.path.realpath(_prefix_of(former)) != os.path.realpath(report["prefix"]):
                drop_prefix(former, self.name)
        link_dir = state["link_dir"]
        state["left_alone"] = make_links(link_dir, report["bin"], state["commands"]) if link_dir else []
        self._note_environment(state)
        write_json(given["state_file"], state, alone=True)
        return state

    def _note_environment(self, state):
        """Note the variables that the commands need, and make login shells set them."""
        # Whoever has set up what was found has set its variables, too.
        foreign = state["report"]["origin"] == "present"
        environment = {} if foreign else variables(self.about_it, state["report"]["prefix"])
        if environment:
            state["report"]["environment"] = environment
        make_profile(self.name, environment)

    def what_changed(self, old, new):
        """Return notes on what has changed about an existing installation."""
        before, now = old.get("report", {}), new.get("report", {})
        if not (before and now):
            return []
        notes = []
        if old.get("version") != new.get("version"):
            notes.append(f"{self.title} {old.get('version')} was replaced with {new.get('version')}.")
        if before["bin"] != now["bin"]:
            notes.append(
                f"The commands of {self.title} have moved from {before['bin']} to {now['bin']}: type hash -r in open "
                "shells."
            )
        return notes

    def _place(self, given):
        """Install into the prefix and return (version, names of commands, manifest)."""
        prefix = os.path.realpath(given["prefix"])
        problem = prefix_problem(prefix, self.name)
        if problem:
            hint = f"Choose another folder: {self.name}_prefix."
            raise InstallError(f"The prefix {prefix} {problem}.", hint, code="prefix")
        with staging(prefix) as folder:
            new = os.path.join(folder, "new")
            os.mkdir(new)
            manifest = self._fill(given, new)
            plain_modes(new)
            version, commands = self._tried(given, new)
            self.check_version(version, given)
            if given["tree"]:
                manifest = self._note_build(given, new, version, commands)
            write_json(os.path.join(new, RECEIPT), {"tool": self.name, "version": version, "origin": given["origin"]})
            with self._pending(given):
                exchange(new, prefix)
        if given["lock"]:
            forget(read_lock(given["lock"]), given["keep"], given["cache"])
        return version, commands, manifest

    def _tried(self, given, folder):
        """Return (version, commands) after testing a folder; commands made elsewhere are run without root's rights."""
        if not (given["archive"] or given["lock"]):
            return self.smoke_test(folder)
        answer = without_rights(lambda: self.smoke_test(folder), os.path.join(folder, "bin"), InstallError)
        # The tested programs may have forged the answer, and its names become those of links.
        there = set(os.listdir(os.path.join(folder, "bin")))
        try:
            version, commands = answer
            if isinstance(version, str) and there.issuperset(commands):
                return version, list(commands)
        except (TypeError, ValueError):
            pass
        raise InstallError(f"The commands of {self.title} gave an invalid answer.", code="does-not-run")

    @contextmanager
    def _pending(self, given):
        """Note the place that is about to be filled, for the next run or removal in case this one is interrupted."""
        path, old = given["state_file"], read_json(given["state_file"])
        report = {"prefix": given["prefix"], "bin": os.path.join(given["prefix"], "bin")}
        pending = [*old.get("pending", []), {"report": report, "link_dir": given["link_dir"]}]
        write_json(path, {**old, "pending": pending})
        try:
            yield
        except OSError:
            if old:
                write_json(path, old)
            else:
                os.unlink(path)
            raise

    def _fill(self, given, folder):
        """Put the files from their origin into a folder; return the manifest, {} if there is none."""
        archive = given["archive"]
        if given["lock"]:
            return self._fill_from_packages(given, folder)
        if given.get("moved"):
            shutil.copytree(given["moved"], folder, symlinks=True, dirs_exist_ok=True)
            return {}
        if not archive:
            try:
                self.gather(given, folder)
            except PortableError as error:
                hint = f"Install it, or build {self.title} again."
                raise InstallError(str(error), hint, code="no-library") from error
            return {}
        if given["store"] or _is_zstd(archive):
            return read_archive(
                archive, keep=folder, tell=teller(given["progress"], "bytes"),
                sha256=given["extra"].get("archive_sha256", ""),
                accept=lambda manifest: self._check_fits(manifest, given.get("wanted")),
            )  # fmt: skip
        self.unpack(given, folder)
        return {}

    def _fill_from_packages(self, given, folder):
        """Lay the packages of a lock out in a folder, and link the tool's commands."""
        lock = read_lock(given["lock"])
        own = lay_out_packages(lock, given.get("files") or fetched(given), folder, os.path.realpath(given["prefix"]))
        hidden = set(self.about_it.get("hidden") or ())
        link_commands(folder, [name for name in self.about_it.get("commands") or own if name not in hidden])
        return {"lock": lock.digest, "cpu": lock.cpu, "complete": True}

    def _check_fits(self, manifest, wanted):
        """Raise InstallError for a build that this machine cannot run, or that is not wanted."""
        why = why_not_here(manifest, this_machine())
        if why or manifest["tool"] != self.name:
            why = why or f"it is {manifest['tool']}"
            raise InstallError(f"This build is not for this machine: {why}.", code="other-machine")
        why = why_not_wanted(manifest, wanted) if wanted else ""  # the .json file may have described another archive
        if why:
            raise InstallError(f"This build is not the one wanted: {why}.", code="other-version")

    def check_version(self, version, given):
        """Raise InstallError if the commands report another version than the one wanted."""
        if self.is_exact(given) and not satisfies(version, given["version"]):
            raise InstallError(
                f"This is {self.title} {version}, not {given['version']}.",
                f"Set {self.name}_version to {version} or any.",
                code="other-version",
            )

    def _version_of_build(self, told, given):
        """Return the version under which a build is found later: the requested name for a branch or a commit."""
        return told if self.is_exact(given) else given["version"]

    def _note_build(self, given, folder, version, commands):
        """Write the manifest of a new build into its folder, and return it."""
        manifest = describe(
            folder,
            self.name,
            self._version_of_build(version, given),
            given["cpu"],
            commands,
            given["commands"],
            tells=version,
            repo=given["repo"],
            build_seconds=given["build_seconds"],
            **self.about(given, folder),
            **given["extra"],
        )
        write_json(os.path.join(folder, MANIFEST), manifest)
        return manifest

    # --- Restoring from a store, and removing -------------------------------------------------------------------------

    def restore(self, given):
        """Install the best archive of the store that works here; return (its state or {}, the archives passed over)."""
        passed_over = []

        def pass_over(path, error):
            passed_over.append({"archive": path, "why": error.message, "bad": is_broken(error)})

        wanted = {
            "tool": self.name,
            **{name: given[name] for name in ("version", "cpu", "repo", "commands", "belongs_to")},
        }
        state = {}
        try:
            for path, manifest in candidates(given["store"], wanted, this_machine(), passed_over):
                try:
                    found = {"archive": path, "version": manifest["version"], "wanted": wanted}
                    state = self.install({**given, **found})
                    break
                except (InstallError, StoreError) as error:
                    pass_over(path, error)
        except StoreError as error:
            pass_over(given["store"], error)
        for note in passed_over:
            # A file that is not named like a build of this tool keeps its name.
            if note.pop("bad", False) and os.path.basename(note["archive"]).startswith(f"{self.name}-"):
                note["why"] += f"; it is now {set_aside(note['archive'])}"
        return state, passed_over

    def remove(self, given):
        """Remove what the state file notes, or without one a prefix with our receipt; return the state."""
        prefix = given["prefix"] or ""
        state = read_json(given["state_file"])
        pending = state.get("pending", [])
        if not state and is_ours(prefix, self.name):
            state = {"report": {"prefix": prefix, "bin": os.path.join(prefix, "bin")}, "link_dir": given["link_dir"]}
        for former in (state, *pending):
            drop_links(former)
            drop_prefix(former, self.name)
        drop_profile(self.name)
        for place in {prefix, *map(_prefix_of, (state, *pending))} - {""}:
            drop_leftovers(place)
        drop_file(given["state_file"] + ".lock")
        drop_file(given["state_file"])  # last: while it exists, the next removal can finish an interrupted one
        return state

    # --- As an Ansible module -----------------------------------------------------------------------------------------

    def _act(self, given):
        """Do what the parameters ask for; return (the state, the archives passed over)."""
        if given["state"] == "absent":
            return self.remove(given), []
        if given["move"]:
            return self.move(given), []
        if given["store"]:
            return self.restore(given)
        return self.install(given), []

    def run(self, module):
        """Run as an Ansible module."""
        given = module.params
        os.umask(0o022)
        try:
            if given["lock"]:  # which may take minutes
                given["files"] = fetched(given)
            with locked(given["state_file"] + ".lock", seconds=60):
                old = read_json(given["state_file"])
                state, passed_over = self._act(given)
        except Locked as error:
            module.fail_json(msg=f"Another run is installing {self.title}: {error}", hint=error.hint, code="locked")
        except BadArchive as error:
            module.fail_json(
                msg=f"The archive {given['archive']} cannot be used: {error.message}.",
                hint="Make or download it again.", code=error.code,
            )  # fmt: skip
        except (Problem, OSError) as error:
            module.fail_json(**failure(error))
        report = state.get("report", {})
        notes = self.what_changed(old, state) if given["state"] == "present" else []
        module.exit_json(
            changed=bool(state),
            report={**report, "notes": notes} if notes else report,
            left_alone=state.get("left_alone", []),
            passed_over=passed_over,
        )


@contextmanager
def unpacked_build(archive, folder):
    """Yield the folder with ``bin`` in an archive, unpacked inside `folder`; the rest is deleted afterwards."""
    with tempfile.TemporaryDirectory(dir=folder) as inner:
        try:
            unpack(archive, inner)
        except ValueError as error:
            code = getattr(error.__cause__, "code", "bad-archive")
            raise InstallError(str(error) + ".", "Make or download it again.", code) from error
        entries = os.listdir(inner)
        top = inner if "bin" in entries or len(entries) != 1 else os.path.join(inner, entries[0])
        if not os.path.isdir(os.path.join(top, "bin")):
            hint = "It must contain the folders bin, lib and share of a build."
            raise InstallError(f"{archive} has no folder bin.", hint, code="not-a-build")
        yield top


def fetched(given):
    """Return the files of the packages of the lock."""
    tell = teller(given["progress"], "bytes")
    near = next(reached(given["near"]), "") if given["near"] else ""
    if near:
        # It is asked directly, whatever the proxy.
        without = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
        os.environ["no_proxy"] = ",".join(filter(None, [without, near.split("/")[2]]))
    return fetch_all(read_lock(given["lock"]), given["keep"], given["cache"], given["mirror"], tell, near)


def _is_zstd(path):
    with open(path, "rb") as file:
        return file.read(4) == _ZSTD


# --- Links and folders ------------------------------------------------------------------------------------------------


def _prefix_of(state):
    return state.get("report", {}).get("prefix", "")


def _bin_of(state):
    return state.get("report", {}).get("bin", "")


def make_links(link_dir, folder, commands):
    """Link each command into a folder on PATH; return the names that are taken by other files."""
    make_folder(link_dir)
    for name in missing_links(link_dir, commands):
        os.symlink(os.path.join(folder, name), os.path.join(link_dir, name))
    return [name for name in commands if not links_to(folder, os.path.join(link_dir, name))]


def drop_links(state, keep=()):
    """Remove the links to an installation, except those in `keep`."""
    link_dir, folder = state.get("link_dir"), _bin_of(state)
    for name in set(names_in(link_dir)) - set(keep) if link_dir and folder else ():
        link = os.path.join(link_dir, name)
        if links_to(folder, link):
            os.unlink(link)


def drop_prefix(state, tool):
    """Remove a prefix that has the tool's receipt, or that an interrupted removal has emptied."""
    prefix = os.path.realpath(_prefix_of(state) or "/nonexistent")
    if is_ours(prefix, tool):
        discard(prefix)
    elif os.path.isdir(prefix) and not os.listdir(prefix):
        os.rmdir(prefix)
