"""What a script of MRtrix3 needs: looked for on a made-up PATH, in made-up notes of roles, and in variables."""

from __future__ import annotations

import os
import threading
import time

import pytest

import provision
from provision.checkup import needs, programs
from provision.engine import catalog
from provision.engine.catalog import Option, Role
from provision.errors import OptionError
from provision.machine import network, notes

FSL = Role("fsl", options={"fsl_with": Option("fsl_with", "with", "list")})
CHOICES = [
    Role("fsl", options={"fsl_with": Option("fsl_with", "with", "list", choices=(choice,))})
    for choice in ("first", "eddy_quad")
]


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with no program, variable, note or role of a tool; `put` creates a program."""
    for name in ("FSLDIR", "FSLOUTPUTTYPE", "FREESURFER_HOME", "ARTHOME", "SHELL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(notes, "all_states", dict)
    monkeypatch.setattr(catalog, "roles", dict)
    monkeypatch.chdir(tmp_path)

    def put(*names, mode=0o755):
        for name in names:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            file.chmod(mode)
        return str(tmp_path / names[-1])

    return put


@pytest.fixture
def fsl(machine, monkeypatch, tmp_path):
    """An FSL that was installed by hand and set up."""
    machine("fsl/etc/flirtsch/b02b0.cnf", "bin/topup", "bin/applytopup", "bin/eddy_cpu")
    monkeypatch.setenv("FSLDIR", str(tmp_path / "fsl"))
    monkeypatch.setenv("FSLOUTPUTTYPE", "NIFTI_GZ")


def found(script, name):
    """Return one finding; whatever is wrong comes with advice."""
    finding = provision.doctor(for_=script)[name]
    assert bool(finding.advice) == (finding.verdict != "ok")
    return finding


def noted(monkeypatch, folder, **more):
    state = {"report": {"bin": str(folder), "environment": {"FSLDIR": f"{folder}/.."}}, **more}
    monkeypatch.setattr(notes, "all_states", lambda: {"fsl": state})


# Programs


def test_all_that_is_required_is_there_and_what_is_optional_may_be_missing(fsl):
    diagnosis = provision.doctor(for_="dwifslpreproc")
    assert diagnosis.ok
    verdicts = {name: finding.verdict for name, finding in diagnosis.items()}
    assert verdicts == {**dict.fromkeys(verdicts, "ok"), "eddy_quad": "warn"}


@pytest.mark.parametrize("missing", ["topup", "applytopup", "eddy_cpu", "../fsl/etc/flirtsch/b02b0.cnf"])
def test_one_thing_that_is_missing_is_a_failure(fsl, tmp_path, missing):
    (tmp_path / "bin" / missing).unlink()
    assert not provision.doctor(for_="dwifslpreproc").ok


def test_a_machine_without_anything_fails_but_for_what_is_optional(machine):
    assert found("dwifslpreproc", "topup").verdict == found("dwifslpreproc", "FSLDIR").verdict == "fail"
    assert found("dwifslpreproc", "eddy_quad").verdict == "warn"
    assert provision.doctor(for_="5ttgen hsvs").ok


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (["eddy"], "eddy"),
        (["eddy", "eddy_cpu"], "eddy_cpu"),
        (["eddy", "eddy_cpu", "eddy_openmp"], "eddy_openmp"),
        (["eddy_openmp", "eddy_cuda9.1", "eddy_cuda10.2"], "eddy_cuda10.2"),
        (["eddy_cuda", "eddy_cuda10.2"], "eddy_cuda"),
        (["eddy_cpu", "eddy_cuda_wrapper"], "eddy_cpu"),
        (["fsl5.0-eddy"], "fsl5.0-eddy"),
        (["fsl5.0-eddy_cpu"], None),
    ],
)
def test_one_eddy_suffices_and_it_is_the_one_that_the_script_takes(machine, there, expected):
    paths = {name: machine(f"bin/{name}") for name in there}
    finding = found("dwifslpreproc", "eddy")
    assert finding.found == paths[expected] if expected else finding.verdict == "fail"


def test_debians_old_name_of_a_program_of_fsl_counts(machine):
    old = machine("bin/fsl5.0-topup")
    assert found("dwifslpreproc", "topup").found == old
    machine("bin/fsl5.0-eddy_quad")
    assert found("dwifslpreproc", "eddy_quad").verdict == "warn"


def test_a_file_that_cannot_be_run_is_no_program(machine):
    machine("bin/N4BiasFieldCorrection", "bin/eddy_cuda10.2", mode=0o644)
    assert found("dwibiascorrect ants", "N4BiasFieldCorrection").verdict == "fail"
    assert found("dwifslpreproc", "eddy").verdict == "fail"


def test_a_program_of_a_role_that_is_not_on_path_comes_with_the_line_to_type(machine, monkeypatch, tmp_path):
    program = machine("opt/fsl/bin/topup")
    noted(monkeypatch, tmp_path / "opt/fsl/bin")
    finding = found("dwifslpreproc", "topup")
    assert finding.verdict == "fail" and program in finding.found
    assert finding.advice == f'Type: export PATH="{tmp_path}/opt/fsl/bin:$PATH"'
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert found("dwifslpreproc", "topup").advice == f"Type: fish_add_path --path {tmp_path}/opt/fsl/bin"


def test_the_line_names_the_folder_of_links_where_the_role_has_linked_the_program(machine, monkeypatch, tmp_path):
    program = machine("opt/fsl/bin/topup")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/topup").symlink_to(program)
    noted(monkeypatch, tmp_path / "opt/fsl/bin", link_dir=str(tmp_path / "links"))
    assert found("dwifslpreproc", "topup").advice == f'Type: export PATH="{tmp_path}/links:$PATH"'


def test_a_note_without_a_folder_of_commands_is_no_place_to_look(machine, monkeypatch):
    machine("topup", "eddy_cuda10.2")
    monkeypatch.setattr(notes, "all_states", lambda: {"deps": {"report": {"packages": []}}})
    assert found("dwifslpreproc", "topup").found.startswith("not found")
    assert found("dwifslpreproc", "eddy").found.startswith("not found")


def test_a_program_in_the_folder_of_fsl_is_found_off_path(machine, monkeypatch, tmp_path):
    machine("fsl/bin/topup", "fsl/share/fsl/bin/topup")
    monkeypatch.setenv("FSLDIR", str(tmp_path / "fsl"))
    assert found("dwifslpreproc", "topup").advice == f'Type: export PATH="{tmp_path}/fsl/share/fsl/bin:$PATH"'


# Variables and files


def test_a_variable_is_set_or_not_or_names_no_folder(machine, monkeypatch, tmp_path):
    assert found("dwibiascorrect fsl", "FSLDIR").found == "not set"
    monkeypatch.setenv("FSLDIR", "")
    assert found("dwibiascorrect fsl", "FSLDIR").found == "not set"
    monkeypatch.setenv("FSLDIR", "/nonexistent")
    assert found("dwibiascorrect fsl", "FSLDIR").verdict == "fail"
    monkeypatch.setenv("FSLDIR", str(tmp_path))
    assert found("dwibiascorrect fsl", "FSLDIR").found == str(tmp_path)


def test_a_variable_that_a_role_has_noted_comes_with_the_line_to_type(machine, monkeypatch, tmp_path):
    machine("opt/fsl/etc/flirtsch/b02b0.cnf", "opt/fsl/bin/topup")
    noted(monkeypatch, tmp_path / "opt/fsl/bin")
    assert found("dwifslpreproc", "FSLDIR").advice == f"Type: export FSLDIR={tmp_path}/opt/fsl/bin/.."
    assert found("dwifslpreproc", "b02b0.cnf").verdict == "ok"


def test_a_file_is_looked_for_below_a_variable(machine, monkeypatch, tmp_path):
    assert "FSLDIR is not set" in found("labelsgmfix", "FIRST's models").found
    monkeypatch.setenv("FSLDIR", str(tmp_path))
    assert found("labelsgmfix", "FIRST's models").verdict == "fail"
    (tmp_path / "data/first/models_336_bin").mkdir(parents=True)
    assert found("labelsgmfix", "FIRST's models").verdict == "ok"


def test_the_first_of_several_files_that_is_there_suffices(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("FSLDIR", str(tmp_path))
    assert found("5ttgen fsl", "MNI152 mask").verdict == "warn"
    mask = machine("data/standard/MNI152_T1_2mm_brain_mask_dil.nii.gz")
    assert found("5ttgen fsl", "MNI152 mask").found == mask


def test_when_something_is_not_needed_is_part_of_the_finding(machine):
    assert found("dwifslpreproc", "topup").found.endswith("not needed with -rpe_none")
    assert found("5ttgen freesurfer", "FREESURFER_HOME").found.endswith("not needed with -lut")


# Where the rest comes from


@pytest.mark.parametrize(
    ("role", "program", "advice"),
    [
        (FSL, "bet", "Install FSL: provision run fsl."),
        (FSL, "run_first_all", "Install FSL: provision run fsl --with first."),
        (FSL, "standard_space_roi", "https://"),
        (CHOICES[0], "run_first_all", "Install FSL: provision run fsl --with first."),
        (CHOICES[1], "run_first_all", "https://"),
        (Role("fsl"), "bet", "provision run fsl."),
        (Role("fsl"), "run_first_all", "https://"),
        (None, "bet", "https://"),
    ],
)
def test_a_role_is_offered_where_it_exists_and_brings_the_program(machine, monkeypatch, role, program, advice):
    monkeypatch.setattr(catalog, "roles", lambda: {"fsl": role} if role else {})
    said = found("5ttgen fsl", program).advice
    assert advice in said and ("provision run" in said) == ("provision run" in advice)


def test_the_role_is_offered_for_a_variable_as_well(machine, monkeypatch):
    monkeypatch.setattr(catalog, "roles", lambda: {"fsl": FSL})
    assert "provision run fsl." in found("dwifslpreproc", "FSLDIR").advice


# Scripts


@pytest.mark.parametrize("script", ["dwicat", "dwi2response", "dwi2response dhollander", "5ttgen gif"])
def test_a_script_that_needs_nothing_has_one_finding_that_says_so(machine, script):
    diagnosis = provision.doctor(for_=script)
    assert diagnosis.ok and list(diagnosis) == [script]
    assert diagnosis[script].found == "needs no other programs"


def test_without_an_algorithm_each_is_checked(machine):
    machine("bin/N4BiasFieldCorrection")
    diagnosis = provision.doctor(for_="dwibiascorrect")
    assert {name: finding.verdict for name, finding in diagnosis.items()} == {
        "ants: N4BiasFieldCorrection": "ok",
        "fsl: FSLDIR": "fail",
        "fsl: fast": "fail",
        "fsl: FSLOUTPUTTYPE": "warn",
    }
    assert provision.doctor(for_="dwibiascorrect ants").ok and not diagnosis.ok
    assert {name.partition(":")[0] for name in provision.doctor(for_="5ttgen")} == {"freesurfer", "fsl", "gif", "hsvs"}


@pytest.mark.parametrize(
    ("script", "code", "hint"),
    [
        ("dwifslpreprocc", "no-script", "Did you mean 'dwifslpreproc'?"),
        ("", "no-script", "dwifslpreproc"),
        ("dwibiascorrect antz", "no-script", "Did you mean 'ants'? Algorithms: ants, fsl."),
        ("dwibiascorrect ants fsl", "no-script", "Algorithms: ants, fsl."),
        ("dwifslpreproc ants", "no-script", ""),
        (["dwibiascorrect", "ants"], "bad-value", 'for_="dwibiascorrect ants"'),
    ],
)
def test_a_script_or_algorithm_that_does_not_exist_is_refused(machine, script, code, hint):
    with pytest.raises(OptionError) as error:
        provision.doctor(for_=script)
    assert error.value.code == code and hint in error.value.hint


def test_a_folder_on_path_that_does_not_answer_keeps_nobody(machine, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(network, "SECONDS", 0.2)
    monkeypatch.setattr(needs, "_first", lambda *_: over.wait())
    begin = time.monotonic()
    finding = provision.doctor(for_="dwibiascorrect ants")["N4BiasFieldCorrection"]
    assert time.monotonic() - begin < 5
    over.set()
    assert finding.verdict == "warn" and finding.found == "no answer within 0.2 s"


def test_every_need_has_a_source_and_its_own_name():
    for script, needed in programs.NEEDS.items():
        assert {need.source for need in needed} <= set(programs.SOURCES), script
        assert len({need.name for need in needed}) == len(needed), script
        assert all(file.startswith(("$FSLDIR/", "$FREESURFER_HOME/")) for need in needed for file in need.files)


def test_looking_writes_nothing(machine, tmp_path):
    machine("bin/fast")
    before = {path: os.stat(path).st_mtime_ns for path in tmp_path.rglob("*")}
    provision.doctor(for_="5ttgen")
    assert {path: os.stat(path).st_mtime_ns for path in tmp_path.rglob("*")} == before
