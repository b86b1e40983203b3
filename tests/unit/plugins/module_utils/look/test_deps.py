"""What the probe finds out for the role deps, in a database of dpkg that is made for it."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from plugins.module_utils.provision import commands
from plugins.module_utils.provision.look import deps as look

needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-query"), reason="there is no dpkg")

# The words of dpkg's database for the two letters that dpkg-query shows.
WANTED = {"u": "unknown", "i": "install", "h": "hold", "r": "deinstall", "p": "purge"}
STATUS = {
    "n": "not-installed", "c": "config-files", "H": "half-installed", "U": "unpacked", "F": "half-configured",
    "W": "triggers-awaited", "t": "triggers-pending", "i": "installed",
}  # fmt: skip
MACHINE = {"release": "debian-12", "root": True}
WANTED_GIT = {
    "state": "present", "groups": [], "extra": ["git"], "packages": {"debian-12": {"run": []}},
    "python": "auto", "caller": sys.executable, "python_packages": [],
}  # fmt: skip


@pytest.fixture
def dpkg(monkeypatch, tmp_path):
    """Give a function that adds a package to an empty database, and one that sets what apt has marked."""
    (tmp_path / "updates").mkdir()
    (tmp_path / "info").mkdir()
    (tmp_path / "arch").write_text("amd64\ni386\n")
    (tmp_path / "status").touch()
    monkeypatch.setattr(look, "_DPKG", str(tmp_path))
    monkeypatch.setattr(look, "_JOURNAL", str(tmp_path / "history.log"))
    monkeypatch.setattr(look, "state_folder", lambda: str(tmp_path / "notes"))
    marks = {"showauto": "", "showmanual": ""}
    here = {**os.environ, "DPKG_ADMINDIR": str(tmp_path)}
    monkeypatch.setattr(
        look, "run", lambda argv: (0, marks[argv[1]], "") if argv[0] == "apt-mark" else commands.run(argv, here)
    )

    def add(name, status="ii", architecture="amd64", **fields):
        error = "reinstreq" if status[2:] == "R" else "ok"
        lines = [
            f"Package: {name}", f"Status: {WANTED[status[0]]} {error} {STATUS[status[1]]}", "Version: 1",
            f"Architecture: {architecture}", "Maintainer: nobody", "Description: nothing",
            *(f"{key.replace('_', '-')}: {value}" for key, value in fields.items()),
        ]  # fmt: skip
        if status[1] == "W":
            lines.append("Triggers-Awaited: other")
        if status[1] == "t":
            lines.append("Triggers-Pending: /x")
        with (tmp_path / "status").open("a") as file:
            file.write("\n".join(lines) + "\n\n")

    return add, marks


def noted(monkeypatch, **state):
    monkeypatch.setattr(look, "read_state", lambda role: state)


def test_unmet_requirements_are_those_that_pip_would_install():
    wanted = ["pip", "no-such-package-at-all", "pip>=99999"]
    assert look.unmet_requirements(sys.executable, wanted) == ["no-such-package-at-all", "pip>=99999"]


def test_a_python_that_is_not_there_meets_nothing():
    assert look.unmet_requirements("/nonexistent/python", ["dipy"]) == ["dipy"]


def test_the_path_of_a_python_starts_from_the_users_folder(tmp_path):
    (tmp_path / "python").touch()
    assert look.python_of("python", str(tmp_path), "") == str(tmp_path / "python")
    assert look.python_of("venv", str(tmp_path), "") == str(tmp_path / "venv/bin/python")


def test_a_virtual_environment_is_not_the_distributions(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    assert not look.managed_by_distribution(str(tmp_path / "venv" / "bin" / "python"))


@needs_dpkg
@pytest.mark.parametrize(
    ("status", "there", "ready"),
    [
        ("ii", True, True), ("hi", True, True), ("it", True, True), ("iW", True, False), ("iU", True, False),
        ("iF", True, False), ("iH", True, False), ("iiR", True, False), ("rc", False, False), ("un", False, False),
    ],
)  # fmt: skip
def test_all_but_what_is_not_installed_was_there_and_only_what_is_whole_is_not_missing(dpkg, status, there, ready):
    add, _marks = dpkg
    add("man-db", status)
    begin = look._begin("deps", ["man-db"], {"installed": {}})["begun"]
    assert (begin["packages"] == ["man-db"]) is there
    assert (begin["configured"] == ["man-db"]) is (status == "rc")
    assert (look.missing_packages(["man-db"]) == []) is ready


@needs_dpkg
def test_another_architectures_package_is_another_package(dpkg):
    add, _marks = dpkg
    add("zlib1g", architecture="i386", Multi_Arch="same")
    add("tzdata", architecture="all")
    assert set(look.known_packages()) == {"zlib1g:i386", "tzdata"}
    assert look.missing_packages(["zlib1g", "zlib1g:i386", "tzdata"]) == ["zlib1g"]
    add("zlib1g", Multi_Arch="same")
    assert look.missing_packages(["zlib1g", "zlib1g:amd64", "zlib1g=1", "zlib1g=2"]) == ["zlib1g=2"]


@needs_dpkg
def test_a_name_that_another_package_provides_is_not_missing(dpkg):
    add, _marks = dpkg
    add("mawk", Provides="awk, other (= 1)")
    assert look.missing_packages(["awk", "other", "gawk"]) == ["gawk"]


@pytest.mark.parametrize("name", ["git-", "-oX=y", "lib*", "libpng.*$", "a b", "", "Git", "../x.deb", "./x.deb"])
def test_what_apt_would_not_take_for_a_name_is_refused(name):
    assert look.wrong_names(["g++", "libc6:i386", "git=1:2.39*", name]) == [name]


# What was installed for whom


BEGUN = {"who": "mrtrix3", "names": ["git", "g++"], "packages": ["bash"], "configured": [], "time": 0}


@needs_dpkg
def test_of_an_installation_that_was_cut_off_only_what_came_with_it_is_taken_for_ours(dpkg, monkeypatch):
    add, marks = dpkg
    # g++ did not get that far, and git only half; somebody has installed sl, for which libncurses6 came.
    for name, status in {"bash": "iU", "git": "iF", "git-man": "iHR", "sl": "ii", "libncurses6": "ii"}.items():
        add(name, status)
    marks["showauto"] = "git-man\nlibncurses6\n"
    noted(monkeypatch, installed={"sshd": ["openssh-server"], "mrtrix3": ["git", "g++"]}, begun=BEGUN, configured=[])
    note, begun = look.noted()
    assert note["installed"] == {"sshd": ["openssh-server"], "mrtrix3": ["git", "git-man", "libncurses6"]}
    assert begun == {**BEGUN, "names": ["g++", "git"]}


@needs_dpkg
def test_what_apt_had_not_come_to_mark_when_it_was_killed_is_ours_too(dpkg, monkeypatch, tmp_path):
    add, _marks = dpkg
    for name, status in {"git": "iU", "liberror-perl": "iHR", "sl": "ii", "libncurses6": "ii", "old": "ii",
                         "gcc-12": "iU"}.items():  # fmt: skip
        add(name, status)
    (tmp_path / "history.log").write_text(
        "\nStart-Date: 1999-01-01  01:00:00\nInstall: old:amd64 (1, automatic)\n"
        "\nStart-Date: 2026-01-01  01:00:00\nCommandline: apt-get install git\n"
        "Install: liberror-perl:amd64 (0.17, automatic), git:amd64 (1:2.39)\n"
        "\nStart-Date: 2026-01-01  01:30:00\nInstall: gcc-12:amd64 (12.2, automatic), g++:amd64 (12.2)\n"
        "Error: Sub-process /usr/bin/dpkg received signal 9.\nEnd-Date: 2026-01-01  01:30:01\n"
        "\nStart-Date: 2026-01-01  02:00:00\nCommandline: apt install sl\n"
        "Install: libncurses6:amd64 (6.4, automatic), sl:amd64 (5.2)\nEnd-Date: 2026-01-01  02:00:01\n"
    )
    noted(monkeypatch, installed={}, begun={**BEGUN, "time": 1e9}, configured=[])
    note, begun = look.noted()
    assert note["installed"] == {"mrtrix3": ["gcc-12", "git", "liberror-perl"]}
    assert begun["names"] == ["g++", "gcc-12", "git", "liberror-perl"]


def test_without_one_it_is_what_was_noted(monkeypatch):
    noted(monkeypatch, installed={"deps": ["git"]})
    assert look.noted() == ({"installed": {"deps": ["git"]}}, {})


@pytest.mark.parametrize("state", [{}, {"installed": ["x"]}, {"installed": None, "begun": 3}, {"begun": {"who": "a"}}])
def test_a_note_that_is_damaged_is_none(monkeypatch, state):
    noted(monkeypatch, **state)
    assert look.noted() == ({"installed": {}}, {})


@needs_dpkg
def test_configuration_that_was_there_before_is_known(dpkg, monkeypatch, tmp_path):
    add, _marks = dpkg
    for name in ("old", "new"):
        (tmp_path / name).touch()
        add(name, Conffiles=f"\n {tmp_path / name} d41d8cd98f00b204e9800998ecf8427e")
    add("left")
    later = time.time() + 100
    os.utime(tmp_path / "new")
    monkeypatch.setattr(look.os, "lstat", lambda path: os.stat_result((0,) * 9 + (later * path.endswith("new"),)))
    begun = {**BEGUN, "names": ["old", "new", "left"], "configured": ["left", "other"], "time": later - 50}
    noted(monkeypatch, installed={}, begun=begun, configured=[])
    assert look.noted()[0]["configured"] == ["left", "old"]


# What goes


def going(monkeypatch, marks, names, *, by_hand="", **note):
    marks["showmanual"] = by_hand
    noted(monkeypatch, installed={"mrtrix3": names}, configured=[], **note)
    return look.look_at({"who": "mrtrix3", "state": "absent"}, MACHINE)["going"]


@needs_dpkg
def test_what_the_system_needs_stays(dpkg, monkeypatch):
    add, marks = dpkg
    kinds = {"libc-bin": {"Essential": "yes"}, "init": {"Protected": "yes"}, "grub": {"Important": "yes"},
             "passwd": {"Priority": "required"}, "less": {"Priority": "important"}, "git": {"Priority": "optional"},
             "gone": {}}  # fmt: skip
    for name, fields in kinds.items():
        add(name, "rc" if name == "gone" else "ii", **fields)
    add("held", "hi")
    assert going(monkeypatch, marks, [*kinds, "held"]) == ["git", "less", "passwd"]  # not there before
    # A note of an earlier version, which may be wrong in that.
    monkeypatch.setattr(look, "read_state", lambda role: {"installed": {"mrtrix3": [*kinds, "held"]}})
    assert look.look_at({"who": "mrtrix3", "state": "absent"}, MACHINE)["going"] == ["git"]


@needs_dpkg
def test_what_another_package_needs_stays_with_all_that_it_needs_itself(dpkg, monkeypatch):
    add, marks = dpkg
    add("libc")
    add("libpng", Depends="libc, zlib (>= 1)")
    add("zlib")
    add("git", Depends="libcurl | libcurl-gnutls, libc")
    add("libcurl")
    add("viewer", Depends="libpng (>= 1) | libjpeg")  # a person's
    assert going(monkeypatch, marks, ["libpng", "zlib", "git", "libcurl"]) == ["git", "libcurl"]


@needs_dpkg
def test_what_another_package_needs_and_also_has_otherwise_goes(dpkg, monkeypatch):
    add, marks = dpkg
    add("mawk", Provides="awk (= 1)")
    add("gawk", Provides="awk")
    add("tool", Depends="awk")
    add("strict", Depends="awk (>= 1)")
    assert going(monkeypatch, marks, ["gawk"]) == ["gawk"]
    # What is given without a version meets no version.
    assert going(monkeypatch, marks, ["mawk"]) == []


@needs_dpkg
def test_a_dependency_is_met_by_the_same_architecture_or_by_one_that_is_foreign(dpkg, monkeypatch):
    add, marks = dpkg
    add("zlib", Multi_Arch="same")
    add("zlib", architecture="i386", Multi_Arch="same")
    add("wine", architecture="i386", Depends="zlib, make:any")
    add("make", Multi_Arch="foreign")
    assert going(monkeypatch, marks, ["zlib", "zlib:i386", "make"]) == ["zlib"]


@needs_dpkg
def test_what_an_installed_package_lacks_is_known(dpkg):
    add, _marks = dpkg
    add("gimp", Depends="libtiff6 (>= 4), libjpeg | libpng")
    add("libpng")
    add("half", "iU", Depends="nothing-of-it")
    assert look.unmet_dependencies() == [("gimp", "libtiff6 (>= 4)")]


@needs_dpkg
def test_what_a_person_has_asked_apt_for_stays_but_not_what_a_cut_off_run_asked_for(dpkg, monkeypatch):
    add, marks = dpkg
    add("git")
    add("sl")
    assert going(monkeypatch, marks, ["git", "sl"], by_hand="git\n") == ["sl"]
    begun = {"who": "sshd", "names": ["git"], "packages": ["git", "sl"]}
    assert going(monkeypatch, marks, ["git", "sl"], by_hand="git\n", begun=begun) == ["git", "sl"]


@needs_dpkg
def test_a_look_at_several_roles_takes_those_before_for_gone(dpkg, monkeypatch):
    add, _marks = dpkg
    add("libtiff")
    add("mrtrix3", Depends="libtiff")
    noted(monkeypatch, installed={"mrtrix3": ["mrtrix3"], "deps": ["libtiff"]}, configured=[])
    wanted = {"who": "deps", "state": "absent"}
    assert look.look_at(wanted, MACHINE)["report"] == {"state": "absent"}
    assert look.look_at({**wanted, "leaving": ["sshd", "mrtrix3"]}, MACHINE)["report"]["packages"] == ["libtiff"]


@needs_dpkg
def test_what_goes_is_reported_and_nothing_where_there_is_nothing(dpkg, monkeypatch):
    add, _marks = dpkg
    add("git")
    noted(monkeypatch, installed={"deps": ["git"]}, configured=["git"])
    found = look.look_at({"who": "deps", "state": "absent"}, MACHINE)
    assert found["report"] == {"state": "absent", "packages": ["git"]}
    assert (found["configured"], found["converged"], found["rest"]["installed"]) == (["git"], False, {})
    noted(monkeypatch)
    found = look.look_at({"who": "deps", "state": "absent"}, MACHINE)
    assert found["report"] == {"state": "absent"} and found["converged"]


@needs_dpkg
def test_an_installation_that_did_not_end_is_gone_on_with_though_nothing_is_missing(dpkg, monkeypatch):
    add, marks = dpkg
    add("git")
    marks["showmanual"] = "git\n"
    noted(monkeypatch, installed={}, configured=[], begun={**BEGUN, "names": ["git"]})
    found = look.look_at({**WANTED_GIT, "who": "mrtrix3"}, MACHINE)
    assert (found["missing"], found["converged"], found["brought"]) == ([], False, ["git"])
    assert found["note"]["installed"] == {"mrtrix3": ["git"]}


@needs_dpkg
def test_what_an_installation_that_failed_did_not_bring_is_not_ours_when_a_person_installs_it(dpkg, monkeypatch):
    add, _marks = dpkg
    noted(monkeypatch, installed={}, configured=[], begun={**BEGUN, "names": ["git", "g++"]})
    found = look.look_at({**WANTED_GIT, "who": "mrtrix3"}, MACHINE)
    assert (found["begun"], found["unfinished"]) == (False, {"installed": {}, "configured": []})
    add("git", "iF")
    found = look.look_at({**WANTED_GIT, "who": "mrtrix3"}, MACHINE)
    assert found["begun"] and found["unfinished"]["begun"]["names"] == ["git"]
    noted(monkeypatch, **found["unfinished"])
    add("g++")
    assert look.noted()[0]["installed"] == {"mrtrix3": ["git"]}
