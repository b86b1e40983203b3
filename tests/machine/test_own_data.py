"""The notebook for data of one's own, run from top to bottom on made-up subjects, and on Colab's with a study on Drive.

Compiling MRtrix3 would take half an hour: the distribution's is taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from box import PROJECT, Box, CommandFailed, Machines
from cells import has_failed, run_notebook, said
from colab import RELEASE_TAG
from layers import packaged, with_colabs_kernel

from provision.pictures.angles import LIMITS

NOTEBOOK = PROJECT / "notebooks" / "own_data.ipynb"
HERE = Path(__file__).parent / "own_data"
FULL = 'provision.run("deps", "mrtrix3", groups=["glyphs"])'
SHORT = 'provision.run("deps", "mrtrix3", groups=["glyphs"], mrtrix3_version="any")'
SCANS = ("sub-01", "sub-02_ses-1", "sub-02_ses-2")
RESULTS = "/content/made_up_fods"
STUDY = "/content/drive/MyDrive/Lab data/My study"
# Those that a study on Drive needs to be prepared. FODs are seen on the made-up subjects.
OF_DRIVE = ("data", "install", "run", "scans", "prepare", "responses", "keep")
BIN = f"{Box.project}/.venv/bin"
# Stops a scan for good while its FODs are estimated, as the end of a session does.
KILLED = """
export RESULTS=/content/made_up_fods
rm $RESULTS/sub-01/finished work/sub-01/wm.mif
setsid bash fods.sh work/sub-01 > /dev/null 2>&1 &
for _ in $(seq 3000); do pgrep -x dwi2fod && test -e work/sub-01/wm.mif && break; sleep 0.1; done
sleep 0.5; kill -KILL -- -$!
test -e work/sub-01/wm.mif
"""


@pytest.fixture(scope="module")
def box(machines: Machines) -> Iterator[Box]:
    with machines.box(with_colabs_kernel(machines, packaged(machines, "trixie"))) as box:
        box.run("mkdir -p /content /srv/colab")
        box.copy_in(HERE, "/srv/own_data")
        yield box


@pytest.fixture(scope="module")
def made_up(box: Box) -> dict[str, list[dict]]:
    """The outputs of all cells as the notebook is."""
    return run_notebook(box, notebook(), seconds=500, cwd="/content")


@pytest.fixture(scope="module")
def found(made_up: dict, box: Box) -> dict[str, dict]:
    """How far the results are from the truth."""
    line = f"PYTHONPATH={box.project} {BIN}/python /srv/own_data/compare.py"
    return json.loads(box.run(line, cwd=RESULTS).stdout)


@pytest.fixture(scope="module")
def on_drive(box: Box) -> dict[str, list[dict]]:
    """Those of the cells that prepare a study on the Drive of a machine dressed as Colab's; the study has one scan."""
    study = f"/srv/google-drive/{STUDY.removeprefix('/content/drive/MyDrive/')}"
    box.run(f"{BIN}/provision sample bids --folder /srv/made && rm -r /srv/made/sub-01 /srv/made/sub-02/ses-2")
    box.run(f"mkdir -p '{study}' && cp -r /srv/made/. '{study}' && chmod -R a-w '{study}'")
    environment = {"COLAB_RELEASE_TAG": RELEASE_TAG, "PYTHONPATH": f"{box.project}/tests/colab"}
    return run_notebook(box, notebook(STUDY, OF_DRIVE), seconds=300, cwd="/srv/colab", env=environment)


def notebook(data: str = "", only: tuple[str, ...] = ()) -> dict:
    held = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    held["cells"] = [cell for cell in held["cells"] if not only or cell["id"] in only]
    (run,) = [cell for cell in held["cells"] if cell["source"] == [FULL]]
    run["source"] = [SHORT]
    if data:
        (name,) = [cell for cell in held["cells"] if cell["id"] == "data"]
        name["source"] = [f"DATA = {data!r}"]
    return held


def errors(cells: dict[str, list[dict]]) -> dict[str, str]:
    return {name: said(outputs) for name, outputs in cells.items() if has_failed(outputs)}


def times(box: Box) -> dict[str, str]:
    """Return when each result of the made-up subjects was written."""
    lines = box.run(f"cd {RESULTS}; find . -name '*.mif' -printf '%p %T@\\n'").stdout.splitlines()
    return dict(line.split() for line in lines)


def test_every_cell_runs_without_a_change(made_up: dict[str, list[dict]]) -> None:
    assert errors(made_up) == {}


def test_volumes_and_shells_of_each_scan_are_listed(made_up: dict[str, list[dict]]) -> None:
    assert said(made_up["scans"]).count("0 1000 2000") == said(made_up["scans"]).count("1 16 64") == len(SCANS)


def test_the_gradients_are_found_to_be_right(made_up: dict[str, list[dict]]) -> None:
    rows = [line.split(maxsplit=1) for line in said(made_up["gradients"]).splitlines() if "(" in line]
    lengths = {rest.rpartition(")")[0]: float(length) for length, rest in reversed(rows)}
    (right,) = [length for rest, length in lengths.items() if rest.split() == ["none", "(0,", "1,", "2"]]
    assert right > 0.8 * max(lengths.values())  # those of a mirrored table are not among the first five


@pytest.mark.parametrize("name", SCANS)
def test_the_fibres_of_each_scan_are_found(found: dict[str, dict], name: str) -> None:
    assert found[name]["single"] < LIMITS["single fibre"] and found[name]["crossing"] < LIMITS["crossing"]


@pytest.mark.parametrize("name", SCANS)
def test_anisotropy_is_that_of_the_tissue(found: dict[str, dict], name: str) -> None:
    # 0.79 by the phantom's diffusivities; two fibres that cross look like a disc, and grey matter like noise.
    assert found[name]["FA single"] == pytest.approx(0.79, abs=0.04)
    assert found[name]["FA grey"] < 0.1 < found[name]["FA crossing"] < 0.6


def test_the_averaged_responses_decay_as_the_tissues_do(found: dict[str, dict]) -> None:
    # exp(-b D) at b = 1000 and 2000 s/mm²; of white matter the mean over all directions.
    for tissue, decay in {"wm": (0.50, 0.29), "gm": (0.45, 0.20)}.items():
        unweighted, *weighted = found[tissue]
        assert [value / unweighted for value in weighted] == pytest.approx(list(decay), abs=0.04)
    assert found["csf"][1] < 0.1 * found["csf"][0]


def test_fods_are_drawn_into_a_file(made_up: dict[str, list[dict]], box: Box) -> None:
    (picture,) = [one["data"] for one in made_up["figure"] if "image/png" in one.get("data", {})]
    assert "<Picture 2400 x " in picture["text/plain"]
    box.run(f"head -c 8 {RESULTS}/sub-01_fods.png | grep -q PNG")


def test_a_session_that_died_loses_one_scan_and_no_other_is_done_again(found: dict, box: Box) -> None:
    before = times(box)
    box.run(KILLED, cwd="/content")
    box.run(f"RESULTS={RESULTS} for_each work/* : bash fods.sh IN", cwd="/content")
    after = times(box)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {f"./sub-01/{name}.mif" for name in ("fa", "wmfod", "gmfod", "csffod")}
    again = json.loads(box.run(f"PYTHONPATH={box.project} {BIN}/python /srv/own_data/compare.py", cwd=RESULTS).stdout)
    assert again["sub-01"]["single"] == pytest.approx(found["sub-01"]["single"], abs=0.01)


def test_a_scan_that_cannot_be_prepared_is_named_and_looks_like_one_that_is_not_done(made_up: dict, box: Box) -> None:
    box.run("mkdir -p broken/sub-03 && echo no image > broken/sub-03/dwi.mif", cwd="/content")
    with pytest.raises(CommandFailed, match="sub-03"):
        box.run(f"RESULTS={RESULTS} for_each broken/* : bash prepare.sh IN", cwd="/content")
    box.run(f"! test -e {RESULTS}/sub-03")


def test_a_study_on_drive_is_prepared_and_its_results_reach_drive(on_drive: dict[str, list[dict]], box: Box) -> None:
    assert errors(on_drive) == {}
    box.run("cd '/srv/google-drive/My study_fods' && test -s wm.txt && cd sub-02_ses-1 && test -s clean.mif")
    box.run("test -e '/srv/google-drive/My study_fods/sub-02_ses-1/prepared'")


def test_nothing_is_written_into_the_study(on_drive: dict, box: Box) -> None:
    assert box.run(f"diff -r /srv/made '{STUDY}'").stdout == ""
