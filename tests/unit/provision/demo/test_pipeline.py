"""The demo's plumbing, with stand-ins for MRtrix3's commands that find the true fibres, or fail as they are told."""

import base64
import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import dipy.data
import nibabel
import numpy as np
import pytest
from dipy.data.fetcher import FetcherError
from matplotlib.image import imread

from provision.demo import pipeline
from provision.demo.phantom import make_phantom
from provision.demo.pipeline import Angles, check_limits, run_command
from provision.engine import content
from provision.errors import OptionError, ProvisionError

from .stand_ins import (
    NAMES,
    SIZE,
    commands,  # noqa: F401
    log_of,
    run,
    scripts,
    shell,
)

# A Python that finds this package from any folder, whether it is installed or not.
PYTHON = {**os.environ, "PYTHONPATH": str(content.root())}
STEPS = ["phantom", "mrconvert", "dwi2response", "dwi2fod", "sh2peaks", "compare", "draw", "show"]


@pytest.fixture(scope="module")
def good(tmp_path_factory, commands) -> SimpleNamespace:
    """One run that passes: its result, the steps that it told, and its folder."""
    steps = []
    result = run(tmp_path_factory.mktemp("good"), commands, on_step=steps.append, seed=7, snr=30)
    return SimpleNamespace(result=result, steps=steps, folder=result.folder)


# What it finds


def test_true_fibres_pass(good):
    assert good.result.passed is True
    assert {kind: found.limit for kind, found in good.result.angles.items()} == {"single fibre": 3.0, "crossing": 10.0}
    assert all(found.p95 < 0.1 for found in good.result.angles.values())


def test_every_voxel_with_fibres_is_compared(good):
    tissue = nibabel.load(good.folder / "tissue.nii.gz").get_fdata()
    assert [found.voxels for found in good.result.angles.values()] == [np.sum(tissue == 3), np.sum(tissue == 4)]


def test_turned_fibres_show_their_angle(tmp_path, commands):
    result = run(tmp_path, commands, told={"TURNED": "2"})
    assert [found.median for found in result.angles.values()] == pytest.approx([2, 2], abs=0.01)


def test_order_and_sign_of_peaks_in_a_crossing_do_not_count(tmp_path, commands):
    with pytest.raises(ProvisionError) as caught:
        run(tmp_path, commands, told={"SWAPPED": "1"})
    assert caught.value.code == "wrong-fibres" and "90.0" in caught.value.message
    assert "single fibre" in caught.value.message and "crossing" not in caught.value.message


def test_peaks_whose_image_has_other_axes_are_compared_voxel_by_voxel(tmp_path, commands):
    result = run(tmp_path, commands, told={"OTHER_AXES": "1"}, size=(20, 16, 6))
    assert all(found.p95 < 0.1 for found in result.angles.values())


def test_angle_beyond_the_limit_is_an_error_that_says_which(tmp_path, commands):
    with pytest.raises(ProvisionError) as caught:
        run(tmp_path, commands, told={"TURNED": "5"})
    error = caught.value
    assert error.code == "wrong-fibres" and "5.0" in error.message and " 3)" in error.message
    assert "single fibre" in error.message and "crossing" not in error.message
    assert (error.task, error.log) == ("sh2peaks", tmp_path / "demo" / "demo.log")
    assert "fod.png" in error.hint


def test_results_of_a_failed_comparison_are_kept(tmp_path, commands):
    with pytest.raises(ProvisionError):
        run(tmp_path, commands, told={"TURNED": "20"})
    results = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert results["passed"] is False
    assert results["angles"]["crossing"]["median"] == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize(
    ("single", "crossing", "beyond"), [(3.0, 10.0, []), (3.01, 10.0, ["single"]), (9.0, 10.1, ["single", "crossing"])]
)
def test_limits_are_the_last_values_that_pass(single, crossing, beyond, tmp_path):
    angles = {"single fibre": Angles(9, single, 20.0, 3.0), "crossing": Angles(9, crossing, 20.0, 10.0)}
    if not beyond:
        check_limits(angles, tmp_path / "demo.log")
        return
    with pytest.raises(ProvisionError) as caught:
        check_limits(angles, tmp_path / "demo.log")
    assert caught.value.code == "wrong-fibres"
    assert [kind for kind in ("single", "crossing") if kind in caught.value.message] == beyond


# What it tells and leaves


def test_table_tells_tissue_voxels_angles_limit_and_verdict(tmp_path, commands, capsys):
    with pytest.raises(ProvisionError):
        run(tmp_path, commands, told={"TURNED": "5", "COLUMNS": "100"})
    found = json.loads((tmp_path / "demo" / "results.json").read_text())["angles"]
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert [cells for cells in lines if cells] == [
        ["single fibre", str(found["single fibre"]["voxels"]), "5.00°", "5.00°", "3.00°", "fail"],
        ["crossing", str(found["crossing"]["voxels"]), "5.00°", "5.00°", "10.00°", "pass"],
    ]


def test_results_json_holds_the_result(good):
    stored = json.loads((good.folder / "results.json").read_text())
    assert stored == json.loads(json.dumps(good.result.to_dict()))
    assert stored["settings"] == {"size": list(SIZE), "snr": 30, "seed": 7}
    assert stored["versions"]["mrtrix3"] == "3.0.8-12-gabc"
    assert {"provision", "python", "numpy", "nibabel", "dipy", "matplotlib"} < set(stored["versions"])
    assert list(stored["steps"]) == STEPS
    assert stored["seconds"] == pytest.approx(sum(stored["steps"].values()), abs=0.01)


def test_report_tells_the_angles_and_every_command_and_why_a_picture_is_missing(good):
    """The stand-ins leave no FODs and no volumes that could be drawn, and the demo passes all the same."""
    page = good.result.report.read_text()
    assert good.result.report == good.folder / "report.html"
    assert "MRtrix3 3.0.8-12-gabc found the phantom&#39;s fibres" in page
    commands = [line.removeprefix("$ ") for line in good.result.log.read_text().splitlines() if line.startswith("$ ")]
    assert "<pre>" + "\n".join(commands) + "</pre>" in page
    assert page.count('<p class="note">') == 3 and "<img" not in page


def test_report_of_a_failed_comparison_is_kept(tmp_path, commands):
    with pytest.raises(ProvisionError):
        run(tmp_path, commands, told={"TURNED": "20"})
    assert "missed the phantom&#39;s fibres" in (tmp_path / "demo" / "report.html").read_text()


def test_notebook_shows_the_picture_of_the_peaks_where_there_are_no_glyphs(good):
    picture = base64.b64encode(good.result.picture.read_bytes()).decode()
    assert f'src="data:image/png;base64,{picture}"' in good.result._repr_html_()


def test_summary_names_version_angles_and_the_page(good):
    summary = good.result.summary
    assert "3.0.8-12-gabc found" in summary
    assert "0.0° (single fibre), 0.0° (crossing)" in summary
    assert str(good.folder / "report.html") in summary


def test_each_step_is_told_when_it_starts_and_when_it_has_ended(good):
    told = [(step.kind, step.role, step.task) for step in good.steps]
    assert told == [(kind, "demo", step) for step in STEPS for kind in ("task", "done")]


def test_log_holds_every_command_as_it_can_be_typed_in_the_folder(good):
    lines = good.result.log.read_text().splitlines()
    tissues = "wm.txt wmfod.mif gm.txt gmfod.mif csf.txt csffod.mif"
    assert [line for line in lines if line.startswith("$ ")] == [
        "$ mrinfo -version",
        "$ mrconvert dwi.nii.gz dwi.mif -fslgrad bvecs bvals -force",
        "$ dwi2response dhollander dwi.mif wm.txt gm.txt csf.txt -mask mask.nii.gz -force",
        f"$ dwi2fod msmt_csd dwi.mif {tissues} -mask mask.nii.gz -force",
        "$ sh2peaks wmfod.mif peaks.nii.gz -num 3 -mask mask.nii.gz -force",
        "$ mrconvert wmfod.mif fod_l0.nii.gz -coord 3 0 -axes 0,1,2 -force",
    ]


def test_picture_shows_fibres_along_x_in_red_and_along_y_in_green_on_grey(good):
    red, green, blue = np.moveaxis(imread(good.result.picture)[..., :3], -1, 0)
    assert np.sum((red > 0.9) & (green < 0.1) & (blue < 0.1)) > 1000
    assert np.sum((green > 0.9) & (red < 0.35) & (blue < 0.1)) > 500
    assert np.sum((red > 0.3) & (abs(red - green) < 0.01) & (abs(red - blue) < 0.01)) > 1000


def test_picture_is_drawn_without_the_global_state_of_pyplot(tmp_path):
    code = (
        "import sys, numpy; from pathlib import Path; from provision.demo import pipeline\n"
        "pipeline._save_picture(numpy.ones((4, 4, 2)), numpy.ones((4, 4, 2, 3)), numpy.eye(4), Path('fod.png'))\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=PYTHON, capture_output=True, text=True)
    assert (said.stdout, said.stderr) == ("False\n", "")
    assert (tmp_path / "fod.png").exists()


def test_picture_draws_a_fibre_along_its_direction():
    """One oblique peak in voxel (1, 0), in an image whose first axis runs to the left."""
    peaks = np.zeros((3, 2, 3))
    peaks[1, 0] = (0.6, 0.8, 0)
    segments, colours = pipeline._segments(peaks, np.diag([-2.0, 2, 2, 1]))
    line = segments[0, 1] - segments[0, 0]
    np.testing.assert_allclose(segments[0].mean(axis=0), (1, 0))
    np.testing.assert_allclose(line / np.linalg.norm(line), (-0.6, 0.8))
    np.testing.assert_allclose(colours, [(0.6, 0.8, 0)])


def test_slice_without_peaks_is_drawn(tmp_path):
    pipeline._save_picture(np.zeros((4, 4, 2)), np.full((4, 4, 2, 9), np.nan), np.eye(4), tmp_path / "fod.png")
    assert (tmp_path / "fod.png").stat().st_size > 1000


# Its folder


def test_path_that_is_a_file_is_an_error_and_the_file_stays(tmp_path, commands):
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(ProvisionError) as caught:
        run(tmp_path, commands)
    assert caught.value.code == "system-error"
    assert str(tmp_path / "demo") in caught.value.message and os.strerror(errno.EEXIST) in caught.value.message
    assert (tmp_path / "demo").read_text() == "mine"


# What is missing or wrong


def test_missing_packages_are_all_named_with_the_command_that_installs_them(tmp_path, commands, monkeypatch):
    for name in ("nibabel", "dipy"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ProvisionError) as caught:
        run(tmp_path, commands)
    assert caught.value.code == "missing-packages" and "nibabel, dipy" in caught.value.message
    assert 'pip install "mrtrix-provision[demo]"' in caught.value.hint
    assert not (tmp_path / "demo").exists()


def test_importing_needs_no_package_of_the_extra():
    extra = ["numpy", "nibabel", "dipy", "matplotlib"]
    code = f"import sys; sys.modules.update(dict.fromkeys({extra})); import provision.demo.pipeline"
    subprocess.run([sys.executable, "-c", code], env=PYTHON, check=True)


def test_unknown_data_are_an_option_error_that_lists_the_known(tmp_path):
    with pytest.raises(OptionError) as caught:
        run(tmp_path, tmp_path, data="head")
    assert caught.value.code == "bad-value" and "'head'" in caught.value.message
    assert "phantom, sherbrooke_3shell" in caught.value.hint
    assert not (tmp_path / "demo").exists()


def test_commands_of_the_named_folder_come_before_those_on_the_path(tmp_path, commands):
    others = scripts(tmp_path / "others", dict.fromkeys(NAMES, "#!/bin/sh\nexit 9\n"))
    assert run(tmp_path, commands, told={"PATH": f"{others}:{os.environ['PATH']}"}).passed


def test_missing_command_is_an_error_that_says_how_to_get_it(tmp_path):
    with pytest.raises(ProvisionError) as caught:
        run(tmp_path, tmp_path, told={"PATH": str(tmp_path)})
    assert caught.value.code == "not-installed" and "mrinfo" in caught.value.message
    assert "provision run mrtrix3" in caught.value.hint


def test_failing_command_is_an_error_with_its_last_lines(tmp_path, commands):
    with pytest.raises(ProvisionError) as caught:
        run(tmp_path, commands, told={"FAILING": "dwi2response"})
    error = caught.value
    first, *last = error.message.splitlines()
    assert error.code == "failed" and first.startswith("dwi2response ") and " 3:" in first
    assert last == [f"line {n}" for n in range(15, 20)]
    assert error.task.startswith("dwi2response dhollander dwi.mif")
    assert error.log == tmp_path / "demo" / "demo.log"
    assert str(error.log) in error.hint
    assert "line 0\n" in log_of(tmp_path)


# Running one command


def test_command_gets_the_environment_it_is_given_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setenv("MINE", "leaked")
    options = shell(tmp_path, 'echo "[$MINE] [$GIVEN]"; pwd')
    options["environment"]["GIVEN"] = "given"
    assert run_command(["command"], **options).splitlines() == ["[] [given]", str(tmp_path)]


def test_output_and_errors_of_commands_follow_each_other_in_the_log(tmp_path):
    options = shell(tmp_path, "echo out; echo err >&2; exit $1")
    assert run_command(["command", "0"], **options) == "out\nerr\n"
    with pytest.raises(ProvisionError):
        run_command(["command", "4", "a b"], **options)
    log = re.sub(r"\d+\.\d s", "0.0 s", options["log"].read_text())
    assert log == (
        "$ command 0\nout\nerr\n# command: exit code 0, 0.0 s\n\n"
        "$ command 4 'a b'\nout\nerr\n# command: exit code 4, 0.0 s\n\n"
    )


def test_file_that_is_no_program_is_an_error(tmp_path):
    options = shell(tmp_path, "")
    (tmp_path / "shell" / "command").write_bytes(b"\x7fELF not really")
    with pytest.raises(ProvisionError) as caught:
        run_command(["command"], **options)
    assert caught.value.code == "does-not-run" and os.strerror(errno.ENOEXEC) in caught.value.message


# The head that dipy downloads


def head(folder: Path, truth: Path) -> None:
    """Write what dipy's download holds, and the truth that the stand-ins look up."""
    make_phantom(SIZE).write(folder)
    for name, theirs in (("dwi.nii.gz", "nii.gz"), ("bvals", "bval"), ("bvecs", "bvec")):
        (folder / name).rename(folder / f"HARDI193.{theirs}")
    truth.mkdir()
    (truth / "demo.log").touch()  # as in the folder of an earlier demo
    (folder / "truth.nii.gz").rename(truth / "truth.nii.gz")


def test_head_goes_through_the_pipeline_with_a_mask_and_without_angles(tmp_path, commands, monkeypatch):
    there = tmp_path / "there"
    head(there, tmp_path / "demo")
    monkeypatch.setattr(dipy.data, "fetch_sherbrooke_3shell", lambda: ({}, there))
    result = run(tmp_path, commands, data="sherbrooke_3shell")
    assert (result.passed, result.angles, result.settings) == (None, {}, {})
    expected = ["download", "mrconvert", "dwi2mask", "dwi2response", "dwi2fod", "sh2peaks", "draw", "show"]
    assert list(result.steps) == expected
    files = [there / f"HARDI193.{kind}" for kind in ("nii.gz", "bvec", "bval")]
    assert "$ mrconvert {} dwi.mif -fslgrad {} {} -force\n".format(*files) in log_of(tmp_path)
    assert "-mask mask.mif" in log_of(tmp_path)
    assert result.picture.exists()
    assert json.loads((tmp_path / "demo" / "results.json").read_text())["passed"] is None
    assert "made FODs of sherbrooke_3shell" in result.summary


@pytest.mark.parametrize(
    ("failure", "values"),
    [
        (
            FetcherError(
                "Failed to download https://workshop.dipy.org/services/data/HARDI193.nii.gz after 5 attempts. "
                "Last error: <urlopen error [Errno -2] Name or service not known>"
            ),
            ["workshop.dipy.org", ": [Errno -2] Name or service not known."],
        ),
        (URLError("timed out"), ["dipy", ": timed out."]),
    ],
    ids=["dipy names the host", "an older dipy does not"],
)
def test_head_that_cannot_be_fetched_is_an_error_that_names_the_host(tmp_path, commands, monkeypatch, failure, values):
    def fetch():
        raise failure

    monkeypatch.setattr(dipy.data, "fetch_sherbrooke_3shell", fetch)
    with pytest.raises(ProvisionError) as caught:
        run(tmp_path, commands, data="sherbrooke_3shell")
    assert caught.value.code == "unreachable"
    assert [value for value in values if value not in caught.value.message] == []
    assert "sherbrooke_3shell" in caught.value.hint and "phantom" in caught.value.hint
