"""The read-only checks that say what has drifted."""

import ast
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from plugins.module_utils.provision import cpu, look, system
from plugins.module_utils.provision.tool import path, prefix
from provision.engine import content

V2 = "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
V3 = "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"
V4 = "avx512f avx512bw avx512cd avx512dq avx512vl"

ROOT = content.root()


@pytest.mark.parametrize(
    ("flags", "level"),
    [("", "x86-64"), (V2, "x86-64-v2"), (f"{V2} {V3}", "x86-64-v3"), (V3, "x86-64"), (f"{V2} {V3} {V4}", "x86-64-v4")],
)
def test_the_level_is_the_highest_whose_instructions_are_all_there(flags, level, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert cpu.cpu_level(f"model name: x\nflags\t\t: fpu {flags}\n") == level


@pytest.mark.parametrize(("machine", "level"), [("aarch64", "armv8-a"), ("riscv64", ""), ("ppc64le", "")])
def test_other_architectures_have_one_level_or_none(machine, level, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert cpu.cpu_level("Features : fp asimd") == level


def test_the_level_agrees_with_the_dynamic_loader():
    loader = next(Path("/lib64").glob("ld-linux-x86-64.so.2"), None)
    told = subprocess.run([loader, "--help"], capture_output=True, text=True, check=False).stdout if loader else ""
    if "x86-64-v" not in told:
        pytest.skip("this machine's loader does not tell levels")
    lines = [line.split()[0] for line in told.splitlines() if "(supported, searched)" in line]
    best = max((line for line in lines if line.startswith("x86-64-v")), default="x86-64")
    assert cpu.cpu_level() == best


def test_memory_is_what_the_container_may_still_use(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   16000000 kB\n")
    assert system.memory_available(str(tmp_path)) == 16000000 * 1024
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("4000000000\n")
    (tmp_path / "sys/fs/cgroup/memory.current").write_text("1000000000\n")
    assert system.memory_available(str(tmp_path)) == 3000000000
    (tmp_path / "sys/fs/cgroup/memory.stat").write_text("active_file 5\ninactive_file 200000000\n")
    assert system.memory_available(str(tmp_path)) == 3200000000
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert system.memory_available(str(tmp_path)) == 16000000 * 1024


def test_memory_that_is_used_up_is_none_left_and_memory_that_nobody_tells_of_is_not_known(tmp_path):
    assert system.memory_available(str(tmp_path)) is None
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemAvailable:  16000000 kB\n")
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("1000\n")
    (tmp_path / "sys/fs/cgroup/memory.current").write_text("2000\n")
    assert system.memory_available(str(tmp_path)) == 0


def test_the_memory_that_is_free_is_the_kernels_figure():
    with open("/proc/meminfo") as file:
        total = int(file.readline().split()[1]) * 1024
    assert 0 < system.memory_available() <= total


def test_the_checks_run_alone_from_standard_input():
    # Who imports Ansible's side here has all that follows run as there.
    program = (
        "import json; from plugins.action import provision_probe as probe; "
        "print(probe._PROGRAM.format(sources=json.dumps(probe._sources()), mark='', roles='{}'))"
    )
    source = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True)
    done = subprocess.run(
        [sys.executable, "-IS", "-"], input=source, capture_output=True, text=True, check=False, env={}
    )
    assert json.loads(done.stdout or "{}").get("machine", {}).get("arch") == os.uname().machine, done.stderr


def test_what_is_sent_to_a_target_is_written_for_its_oldest_python():
    # Python 3.9 is the oldest that ansible-core 2.19 to 2.21 manage.
    for file in (ROOT / "plugins").glob("mod*/**/*.py"):
        ast.parse(file.read_text(), str(file), feature_version=(3, 9))


def test_a_name_that_is_somebody_elses_is_left_alone(installation):
    prefix, links, *_ = installation
    (links / "mrinfo").unlink()
    (links / "mrinfo").write_text("mine")
    assert path.broken_links(str(links), ["mrinfo"], str(prefix / "bin")) == []


def test_a_foreign_mrtrix3_is_found_and_our_own_is_not(installation, monkeypatch, tmp_path):
    prefix, links, *_ = installation
    monkeypatch.setenv("PATH", f"{links}:{prefix / 'bin'}")
    assert path.foreign_command("mrinfo") == ""
    other = tmp_path / "other" / "bin"
    other.mkdir(parents=True)
    shutil.copy(prefix / "bin" / "mrinfo", other)
    monkeypatch.setenv("PATH", f"{links}:{other}")
    assert path.foreign_command("mrinfo") == str(other / "mrinfo")


def test_a_prefix_with_somebody_elses_files_is_refused(tmp_path):
    assert prefix.prefix_problem(str(tmp_path / "missing")) == ""
    assert prefix.prefix_problem(str(tmp_path)) == ""
    (tmp_path / "thesis.tex").write_text("precious")
    assert "not this role's" in prefix.prefix_problem(str(tmp_path))
    assert "is a file" in prefix.prefix_problem(str(tmp_path / "thesis.tex"))


@pytest.mark.parametrize(
    ("states", "due"),
    [
        ({"deps": True, "mrtrix3": True}, []),
        ({"deps": True, "mrtrix3": False, "mrpeek": True}, ["mrtrix3", "mrpeek"]),
        ({"deps": False, "mrtrix3": True}, ["deps", "mrtrix3"]),
    ],
    ids=["none", "one in the midst", "the first"],
)
def test_the_first_role_that_has_drifted_is_due_and_all_after_it(monkeypatch, states, due):
    answers = {name: {"converged": converged, "report": {"of": name}} for name, converged in states.items()}
    monkeypatch.setattr(look, "look_of", lambda name: lambda wanted, machine: answers[name])
    seen = look.look({name: {"state": "present"} for name in states})
    assert seen["due"] == due
    assert seen["ready"] == {name: {"of": name} for name in states if name not in due}


@pytest.mark.parametrize("state", ["absent", "stopped", "misspelt"])
def test_a_role_whose_state_is_not_the_usual_one_runs_and_checks_it(monkeypatch, state):
    monkeypatch.setattr(look, "look_of", lambda name: lambda wanted, machine: {"converged": True, "report": {}})
    assert look.look({"deps": {"state": state}})["due"] == ["deps"]
