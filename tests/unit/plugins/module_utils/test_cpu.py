"""Which level of instructions a processor has."""

import platform
import subprocess
from pathlib import Path

import pytest

from plugins.module_utils.provision import cpu

V2 = "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
V3 = "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"
V4 = "avx512f avx512bw avx512cd avx512dq avx512vl"


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
