"""What the doctor looks at: each check both ways."""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import subprocess
import sys
import threading
import time
import types
from collections import namedtuple

import pytest
import yaml
from packaging.requirements import Requirement

from provision.checkup import doctor
from provision.checkup.diagnosis import Finding
from provision.engine import catalog, content
from provision.engine.catalog import Role
from provision.errors import OptionError, ProvisionError
from provision.machine import alive, network, notes, reach, system
from provision.machine import doctor as checks
from provision.machine.look import deps

Usage = namedtuple("Usage", "free")


def checked(name):
    return doctor._CHECKS[name]()


def verdict(finding):
    assert bool(finding.advice) == (finding.verdict != "ok")
    return finding.verdict


def test_the_tested_systems_are_those_whose_packages_are_known():
    known = yaml.safe_load((content.root() / "roles/deps/vars/main.yml").read_text())["__deps_packages"]
    assert set(checks.TESTED) == set(known)


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ({"ID": "debian", "VERSION_ID": "13", "PRETTY_NAME": "Debian 13"}, "ok"),
        ({"ID": "debian", "VERSION_ID": "11", "PRETTY_NAME": "Debian 11"}, "warn"),
        ({}, "fail"),
    ],
)
def test_a_system_is_tested_or_not_or_no_linux(monkeypatch, release, expected):
    monkeypatch.setattr(system, "os_release", lambda: release)
    assert verdict(checked("system")) == expected


@pytest.mark.parametrize(
    ("requirement", "expected", "words"),
    [
        ("ansible-core>=2.19", "ok", "ansible-core"),
        ("ansible-core>=99.1", "fail", ">=99.1"),
        ("no-such-package>=1", "fail", "no-such-package is missing"),
    ],
)
def test_what_python_has_is_compared_with_what_is_wanted(monkeypatch, requirement, expected, words):
    monkeypatch.setattr(doctor, "_requirements", lambda: [Requirement(requirement)])
    found = doctor.check_python()
    assert (verdict(found), words in found.found) == (expected, True)


@pytest.mark.parametrize(
    ("installed", "expected"),
    [("2.9.1", False), ("2.19.0b1", False), ("2.19", True), ("2.20.0b1", True), ("10.0", True)],
)
def test_versions_are_compared_as_pip_compares_them_but_a_newer_beta_is_new_enough(monkeypatch, installed, expected):
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda name: installed)
    assert (doctor._unmet(Requirement("ansible-core>=2.19")) == "") is expected


@pytest.mark.parametrize("place", ["clone", "wheel"])
def test_the_requirements_are_those_of_the_project_without_its_extras(monkeypatch, tmp_path, place):
    if place == "wheel":
        monkeypatch.setattr(content, "root", lambda: tmp_path)
    names = {requirement.name for requirement in doctor._requirements()}
    assert "ansible-core" in names and "pytest" not in names


def test_an_ansible_that_cannot_be_imported_is_a_failure(monkeypatch):
    def broken(name):
        raise ImportError("a file is missing")

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    assert "a file is missing" in doctor.check_python().found


@pytest.fixture
def packages(monkeypatch, tmp_path):
    """Apt and dpkg, which have nothing to complain about unless they are told what."""
    found = {"code": 0, "said": "", "audit": "", "lacking": [], "interrupted": False, "lock": tmp_path / "lock"}

    def run(argv):
        return (0, found["audit"], "") if argv[0] == "dpkg" else (found["code"], "", found["said"])

    monkeypatch.setattr(checks.shutil, "which", lambda name, **_: found.get("program", f"/usr/bin/{name}"))
    monkeypatch.setattr(checks, "_APT_LOCK", str(found["lock"]))
    monkeypatch.setattr(checks.commands, "run", run)
    monkeypatch.setattr(deps, "dpkg_was_interrupted", lambda: found["interrupted"])
    monkeypatch.setattr(deps, "unmet_dependencies", lambda: found["lacking"])
    return found


@pytest.mark.parametrize(
    ("state", "expected", "words"),
    [
        ({}, "ok", "ready"),
        ({"program": None}, "warn", "not installed"),
        ({"interrupted": True}, "warn", "interrupted"),
        ({"code": 100, "said": "E: Malformed entry 1 in list file /etc/apt/x.list (Suite)"}, "fail", "/etc/apt/x.list"),
        ({"code": 100, "said": "E: Conflicting values set for option Signed-By"}, "fail", "Signed-By"),
        ({"lacking": [("gimp", "libtiff6 (>= 4)")]}, "fail", "gimp needs libtiff6 (>= 4)"),
        ({"audit": "The following packages are only half configured:\n man-db   on-line manual\n"}, "warn", "man-db"),
    ],
)
def test_apt_is_ready_unless_it_is_missing_or_its_sources_or_packages_are_broken(packages, state, expected, words):
    packages |= state
    found = checked("apt")
    assert (verdict(found), words in found.found) == (expected, True)


def test_a_package_manager_at_work_is_named(packages):
    packages["lock"].touch()
    hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, packages["lock"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        holder.stdout.readline()
        found = checked("apt")
        holder.communicate("\n")
    assert verdict(found) == "warn" and f"in use by python (process {holder.pid})" in found.found
    assert verdict(checked("apt")) == "ok"


@pytest.mark.parametrize("home", [None, "", "/nonexistent"])
def test_a_machine_without_programs_or_a_home_is_told_about_all_the_same(home):
    environment = {"PATH": "/nonexistent", **({} if home is None else {"HOME": home})}
    done = subprocess.run(
        [sys.executable, "-m", "provision", "doctor", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        cwd=content.root(),
    )
    told = json.loads(done.stdout)["checks"]
    assert told["apt"]["found"] == "not installed" and "could not be checked" not in done.stdout


@pytest.mark.parametrize(("user", "sudo", "expected"), [(0, False, "ok"), (1000, True, "ok"), (1000, False, "warn")])
def test_packages_need_root_or_sudo(monkeypatch, user, sudo, expected):
    monkeypatch.setattr(doctor.os, "getuid", lambda: user)
    monkeypatch.setattr(system, "sudo_works", lambda: sudo)
    assert verdict(checked("rights")) == expected


@pytest.mark.parametrize(("free", "expected"), [(5000, "ok"), (50, "warn"), (5, "fail")])
def test_space_is_enough_or_short_or_none_in_the_nearest_folder_that_is_there(monkeypatch, tmp_path, free, expected):
    place = str(tmp_path / "not" / "there")
    monkeypatch.setattr(checks, "_places", lambda: {place: (100, 10)})
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda path: Usage(free) if path == str(tmp_path) else None)
    found = checked("space")
    assert verdict(found) == expected and place in found.found


def test_every_file_system_is_told_once():
    assert len(checks._places()) == len({os.stat(checks.nearest(place)).st_dev for place in checks._places()})


@pytest.mark.parametrize(("available", "expected"), [(8 * 10**9, "ok"), (10**9, "warn"), (0, "warn"), (None, "warn")])
def test_memory_is_enough_for_a_compiler_or_not(monkeypatch, available, expected):
    monkeypatch.setattr(system, "memory_available", lambda: available)
    assert verdict(checked("memory")) == expected
    assert (checked("memory").found == "unknown") == (available is None)


@pytest.mark.parametrize(("level", "expected"), [("x86-64-v3", "ok"), ("x86-64", "warn"), ("", "warn")])
def test_a_cpu_that_others_builds_do_not_run_on_is_a_warning(monkeypatch, level, expected):
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(checks.cpu, "cpu_level", lambda: level)
    found = checked("cpu")
    assert verdict(found) == expected and "1 core," in found.found


def test_drive_is_of_interest_on_colab_or_where_it_is_mounted(monkeypatch, tmp_path):
    def found(colab, mounts):
        monkeypatch.setattr(system, "on_colab", lambda: colab)
        monkeypatch.setattr(doctor.reading, "read_text", lambda path: mounts)
        return doctor.check_drive()

    mounted = f"drive {tmp_path}/drive fuse.drive rw 0 0\n"
    assert found(False, "") is None
    assert verdict(found(True, "")) == "warn"
    assert "does not respond: no such file" in found(True, mounted).found
    (tmp_path / "drive").mkdir()
    assert verdict(found(False, mounted)) == "ok"


@pytest.fixture
def ngrok(monkeypatch):
    """The role ngrok, whose part of the probe finds what it is told to."""
    found = {"token": False, "agent": {"path": "", "version": ""}}
    look = types.SimpleNamespace(
        has_token=lambda: found["token"],
        find_agent=lambda wanted, folder: found["agent"],
        OLDEST=[3, 2],
        numbers=lambda version: [int(number) for number in version.split(".")],
    )
    monkeypatch.setattr(doctor, "ngrok", look)
    monkeypatch.setattr(catalog, "roles", lambda: {"ngrok": Role("ngrok")})
    monkeypatch.setattr(notes, "read_state", lambda role: found.get("state", {}))
    return found


def test_a_token_is_given_or_kept_and_never_shown(ngrok, monkeypatch):
    monkeypatch.setenv("NGROK_AUTHTOKEN", "sesame")
    found = doctor.check_token()
    assert verdict(found) == "ok" and "sesame" not in repr(found)
    monkeypatch.delenv("NGROK_AUTHTOKEN")
    ngrok["token"] = True
    assert verdict(doctor.check_token()) == "ok"


def test_a_missing_token_is_a_warning_only_where_ngrok_has_been_set_up(ngrok, monkeypatch):
    monkeypatch.delenv("NGROK_AUTHTOKEN", raising=False)
    assert verdict(doctor.check_token()) == "ok" and "only for ngrok tunnels" in doctor.check_token().found
    ngrok["state"] = {"report": {"url": "tcp://1.tcp.ngrok.io:1"}}
    assert verdict(doctor.check_token()) == "warn"


@pytest.mark.parametrize("given", ["'sesame'", "ngrok config add-authtoken sesame", "<sesame>", "sesamé"])
def test_a_token_that_can_be_none_is_a_warning_that_does_not_show_it(ngrok, monkeypatch, given):
    monkeypatch.setenv("NGROK_AUTHTOKEN", given)
    found = doctor.check_token()
    assert verdict(found) == "warn" and "sesam" not in repr(found)


def test_an_agent_is_told_with_its_version(ngrok):
    assert doctor.check_agent() is None
    ngrok["agent"] = {"path": "/usr/bin/ngrok", "version": "3.30.0"}
    assert verdict(doctor.check_agent()) == "ok" and "3.30.0" in doctor.check_agent().found
    ngrok["agent"] = {"path": "/usr/bin/ngrok", "version": "2.3.41"}
    assert verdict(doctor.check_agent()) == "warn"


def test_without_the_role_nobody_asks_for_a_token_or_an_agent(monkeypatch):
    monkeypatch.setattr(catalog, "roles", lambda: {})
    assert doctor.check_token() is None and doctor.check_agent() is None


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The folders that the roles write to, in one of this test's."""
    for name in ("store", "temporary", "state/sshd", "opt"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "state/mrtrix3.json").write_text(json.dumps({"report": {"prefix": str(tmp_path / "opt/mrtrix3")}}))
    monkeypatch.setattr(doctor.places, "default_store", lambda: str(tmp_path / "store"))
    monkeypatch.setattr(doctor.places, "state_folder", lambda: str(tmp_path / "state"))
    monkeypatch.setattr(doctor.launch, "temporary_folder", lambda: tmp_path / "temporary")
    return tmp_path


@pytest.mark.parametrize(
    "left",
    [
        "store/.new-1-x",
        "store/mrtrix3-3.0.8.tar.zst.bad",
        "temporary/provision-a/alive",
        "state/sshd/sshd.pid",
        "opt/.mrtrix3.provision-a/bin",
    ],
)
def test_what_killed_runs_have_left_is_found(folders, left):
    assert verdict(doctor.check_leftovers()) == "ok"
    (folders / left).parent.mkdir(exist_ok=True)
    (folders / left).write_text("{}")
    assert verdict(doctor.check_leftovers()) == "warn"


def test_what_is_in_use_is_not_taken_for_left(folders):
    (folders / "temporary/provision-a").mkdir()
    with (folders / "temporary/provision-a/alive").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert verdict(doctor.check_leftovers()) == "ok"
    noted = {"pid": os.getpid(), "start": alive.process(os.getpid())["start"], "boot": alive.boot_id()}
    (folders / "state/sshd/sshd.pid").write_text(json.dumps(noted))
    (folders / "temporary/provision-a/alive").unlink()
    assert verdict(doctor.check_leftovers()) == "ok"


@pytest.mark.parametrize(
    ("report", "expected", "words"),
    [
        ({"version": "3.0.8", "works": True}, "ok", "mrtrix3 3.0.8"),
        ({"state": "stopped", "works": False}, "ok", "mrtrix3 stopped"),
        ({"state": "started", "works": False, "problem": "has ended"}, "fail", "mrtrix3 has ended"),
    ],
)
def test_what_is_installed_and_does_not_work_is_a_failure(monkeypatch, report, expected, words):
    monkeypatch.setattr(doctor, "status", lambda: {"hosts": {"localhost": {"mrtrix3": report}}})
    found = doctor.check_installed()
    assert (verdict(found), found.found) == (expected, words)


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ({"mrtrix3": {"bin": "/opt/m/bin", "notes": ["It is not on the PATH. Type: export PATH"]}}, "warn"),
        ({"mrtrix3": {"bin": "/opt/m/bin"}}, "ok"),
        ({"sshd": {"state": "started"}}, None),
    ],
)
def test_commands_that_a_shell_does_not_find_come_with_the_line_to_type(monkeypatch, reports, expected):
    monkeypatch.setattr(doctor, "status", lambda: {"hosts": {"localhost": reports}})
    found = doctor.check_path()
    assert (found and verdict(found)) == expected
    assert expected != "warn" or found.advice == "Type: export PATH"


# All together


@pytest.fixture
def alone(monkeypatch):
    """A doctor with two checks and no server to ask."""
    monkeypatch.setattr(network, "_questions", lambda roles: {})
    monkeypatch.setattr(doctor, "_CHECKS", {"cpu": lambda: Finding("ok", "2 cores"), "drive": lambda: None})
    return monkeypatch


def test_a_check_that_has_nothing_to_say_is_not_told(alone):
    assert list(doctor.doctor()) == ["cpu", "clock"]


def test_what_hangs_or_breaks_is_told_in_time_and_keeps_nobody(alone):
    over = threading.Event()
    alone.setattr(network, "SECONDS", 2)
    alone.setitem(doctor._CHECKS, "drive", over.wait)
    alone.setitem(doctor._CHECKS, "cpu", lambda: 1 / 0)
    alone.setattr(network, "_questions", lambda roles: {"git": over.wait, "apt": lambda: 1 / 0})
    begin = time.monotonic()
    found = doctor.doctor()
    assert time.monotonic() - begin < 5
    over.set()
    assert found["drive"].found == "no answer within 2.0 s" and "ZeroDivisionError" in found["cpu"].found
    assert "no answer in time" in found["network: git"].found and "division" in found["network: apt"].found
    assert all(finding.verdict == "warn" for name, finding in found.items() if name != "clock")


def test_the_clock_is_compared_with_the_first_server_that_tells_the_time(alone):
    ahead = reach.Answer("b", "", time.time() + 7200)
    alone.setattr(network, "_questions", lambda roles: {"apt": lambda: reach.Answer("a", "no"), "git": lambda: ahead})
    assert doctor.doctor()["clock"].verdict == "fail"


def test_a_clock_behind_this_packages_own_files_is_wrong(alone):
    alone.setattr(network.time, "time", lambda: 1_000_000_000)
    assert doctor.doctor()["clock"].verdict == "fail"


def test_the_repository_that_is_asked_is_that_of_the_role():
    assert catalog.role("mrtrix3").options["mrtrix3_repo"].default == reach.GIT


def test_nothing_is_changed_by_looking(tmp_path):
    home = {
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "s"),
        "XDG_CACHE_HOME": str(tmp_path / "c"),
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "provision", "doctor", "--json"],
        env=home,
        capture_output=True,
        text=True,
        cwd=content.root(),
    )
    told = json.loads(done.stdout)
    assert {"system", "python", "apt", "clock"} <= set(told["checks"]) and done.returncode == (not told["ok"])
    assert list(tmp_path.iterdir()) == []
    assert told["seconds"] < 3


def test_looking_is_imported_when_it_is_asked_for():
    assert importlib.import_module("provision").doctor is doctor.doctor


def test_the_machines_own_code_checks_it_and_says_what_is_installed(monkeypatch):
    monkeypatch.setitem(checks.CHECKS, "apt", lambda: 1 / 0)
    monkeypatch.setattr(checks, "status", lambda roles: {"roles": {"ants": {"version": "2.6.2"}}, "store": {}})
    monkeypatch.setattr(network, "_questions", lambda roles: {"apt": lambda: reach.Answer("a", "no")})
    answer = json.loads(json.dumps(checks.doctor(["ants"])))
    found = doctor._of_answer(answer)
    assert {*checks.CHECKS, "network: apt", "clock", "installed"} == set(found)
    assert verdict(found["network: apt"]) == "warn" and verdict(found["clock"]) == "ok"
    assert verdict(found["apt"]) == "warn" and "ZeroDivisionError" in found["apt"].found
    assert (found["installed"].verdict, found["python"].verdict) == ("ok", "ok")


def test_of_several_machines_problems_are_shown_and_those_that_are_out_of_reach(monkeypatch):
    lock = {"command": "provision run ants", "pid": 7, "host": "x", "since": 0}
    answers = {
        "one": {"checks": {"cpu": ("ok", "2 cores", "")}, "roles": {}, "seconds": 0.1},
        "two": {"checks": {"cpu": ("ok", "2 cores", "")}, "roles": {"ants": {"works": False}}, "seconds": 0.1,
                "lock": lock},
    }  # fmt: skip
    errors = {"three": ProvisionError("three could not be reached: its host key is unknown.", hint="Compare it.")}
    monkeypatch.setattr(doctor.shared, "asked", lambda *_: (answers, errors))
    found = doctor.doctor(on="one,two,three")
    assert (found.ok, found["one"].ok, found["two"].ok) == (False, True, False)
    assert found["three"]["connection"].found == "could not be reached: its host key is unknown"
    text = repr(found)
    assert [line.split()[:2] for line in text.splitlines() if line[0] != " "] == [
        ["ok", "one"], ["fail", "three"], ["warn", "two"], ["fail", "two"],
    ]  # fmt: skip
    assert "cpu" not in text and "Compare it." in text
    assert found.to_dict()["hosts"]["two"]["checks"]["installed"]["verdict"] == "fail"


def test_what_a_script_needs_is_looked_for_here():
    with pytest.raises(OptionError) as raised:
        doctor.doctor("dwi2response", on="one,")
    assert raised.value.code == "no-effect"
