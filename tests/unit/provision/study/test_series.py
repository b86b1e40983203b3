"""What is found in a dataset, and what is wrong with it."""

import errno
import gzip
import io
import json
import os
import pickle
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from provision.errors import OptionError, ProvisionError
from provision.pictures import mrtrix3
from provision.study import series

BVALS = [0, *[1000] * 6, *[2000] * 6]
DIRECTIONS = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.8, 0], [0.6, 0, 0.8], [0, 0.6, 0.8]]
BVECS = [[0, 0, 0], *DIRECTIONS, *DIRECTIONS]


def image(path, shape=(2, 2, 2, 13)):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.random.default_rng(0).integers(0, 9999, shape, np.int16), np.eye(4)), path)
    return path


def table(stem, bvals=BVALS, bvecs=BVECS):
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.parent.joinpath(f"{stem.name}.bval").write_text(" ".join(map(str, bvals)))
    stem.parent.joinpath(f"{stem.name}.bvec").write_text(
        "\n".join(" ".join(map(str, row)) for row in zip(*bvecs, strict=True))
    )


@pytest.fixture
def top(tmp_path):
    """One subject, with a table at the top and nothing else: no dataset_description.json."""
    image(tmp_path / "sub-01/dwi/sub-01_dwi.nii.gz")
    table(tmp_path / "dwi")
    return tmp_path


def only(folder):
    (found,) = series.from_bids(folder)
    return found


def test_series_have_labels_a_name_tables_and_shells(top):
    image(top / "sub-02/ses-a/dwi/sub-02_ses-a_dir-AP_run-01_dwi.nii")
    first, second = series.from_bids(top)
    assert (first.subject, first.session, first.name, first.folder) == ("01", "", "sub-01", "sub-01/dwi")
    assert (first.bval, first.bvec, first.shells) == (top / "dwi.bval", top / "dwi.bvec", (0, 1000, 2000))
    assert (second.subject, second.session, second.folder) == ("02", "a", "sub-02/ses-a/dwi")
    assert second.name == "sub-02_ses-a_dir-AP_run-01"
    assert not any(one.problem or one.note for one in (first, second))


def test_derivatives_hidden_files_and_other_images_are_not_looked_at(top):
    for place in ("derivatives/x/sub-03/dwi/sub-03_dwi.nii.gz", "sourcedata/sub-04/dwi/sub-04_dwi.nii.gz",
                  ".git/sub-05/dwi/sub-05_dwi.nii.gz", "sub-01/dwi/._sub-01_dwi.nii.gz",
                  "sub-01/dwi/sub-01_sbref.nii.gz", "sub-01/anat/sub-01_T1w.nii.gz"):  # fmt: skip
        image(top / place)
    (top / "sub-01" / "again").symlink_to(top)
    assert only(top).name == "sub-01"


def test_nothing_of_a_dataset_is_run(top):
    class Trap:
        def __reduce__(self):
            return (exec, ("raise SystemExit('run')",))

    (top / ".ancpbids-dataset.pickle").write_bytes(pickle.dumps(Trap()))
    assert only(top).name == "sub-01"


@pytest.mark.parametrize("text", ["{broken", "[]", json.dumps({"BIDSVersion": 3})])
def test_a_dataset_is_not_validated(top, text):
    (top / "dataset_description.json").write_text(text)
    assert only(top).name == "sub-01"


@pytest.mark.parametrize("place", ["sub-01/sub-01", "sub-01/dwi/sub-01", "sub-01/dwi/sub-01_dir-AP"])
def test_the_nearest_table_of_which_all_entities_fit_is_used(tmp_path, place):
    image(tmp_path / "sub-01/dwi/sub-01_dir-AP_dwi.nii.gz")
    table(tmp_path / "dwi")
    table(tmp_path / "sub-01/dwi/sub-01_dir-PA_dwi")
    table(tmp_path / f"{place}_dwi", [0, *[3000] * 12])
    assert only(tmp_path).bvec == tmp_path / f"{place}_dwi.bvec"
    assert only(tmp_path).shells == (0, 3000)


def test_bval_and_bvec_are_inherited_each_by_itself(top):
    (top / "sub-01/dwi/sub-01_dwi.bvec").write_text((top / "dwi.bvec").read_text())
    assert (only(top).bval.parent, only(top).bvec.parent) == (top, top / "sub-01/dwi")


def test_the_sidecar_is_the_nearest_that_applies(top):
    assert only(top).sidecar is None
    (top / "dwi.json").touch()
    assert only(top).sidecar == top / "dwi.json"
    (top / "sub-01/dwi/sub-01_dwi.json").touch()
    assert only(top).sidecar == top / "sub-01/dwi/sub-01_dwi.json"


@pytest.fixture
def unreadable(monkeypatch):
    """Make a folder one that cannot be listed, whoever lists it."""

    def make(folder, number=errno.EACCES):
        iterdir = Path.iterdir

        def refusing(path):
            if path == folder:
                raise OSError(number, os.strerror(number), str(path))
            return iterdir(path)

        monkeypatch.setattr(Path, "iterdir", refusing)

    return make


@pytest.mark.parametrize(
    ("folder", "name"),
    [("sub-02", "sub-02"), ("sub-02/dwi", "sub-02"), ("sub-02/ses-1", "sub-02_ses-1"),
     ("sub-02/ses-1/dwi", "sub-02_ses-1")],
)  # fmt: skip
def test_a_folder_that_cannot_be_read_is_a_problem_and_not_left_out(top, unreadable, folder, name):
    image(top / f"sub-02{'/ses-1' * ('ses' in name)}/dwi/{name}_dwi.nii.gz")
    unreadable(top / folder)
    first, second = series.from_bids(top)
    assert (first.name, first.problem) == ("sub-01", "")
    assert (second.subject, second.name) == ("02", name) and folder in second.problem


def test_a_drive_that_is_lost_meanwhile_is_an_error_and_not_a_smaller_dataset(top, unreadable):
    image(top / "sub-02/dwi/sub-02_dwi.nii.gz")
    unreadable(top / "sub-02/dwi", errno.EIO)
    for call in (lambda: series.from_bids(top), lambda: series.from_pattern(top, "{subject}/dwi/*.nii.gz")):
        with pytest.raises(OSError, match="sub-02"):
            call()


def test_a_folder_of_a_pattern_that_cannot_be_read_is_a_problem_where_it_is_a_subjects(top, unreadable):
    image(top / "sub-02/dwi/sub-02_dwi.nii.gz")
    table(top / "sub-01/dwi/sub-01_dwi")
    unreadable(top / "sub-02/dwi")
    first, second = series.from_pattern(top, "{subject}/dwi/*.nii.gz")
    assert not first.problem and second.name == "sub-02" and "dwi" in second.problem
    assert [one.name for one in series.from_pattern(top, "*/dwi/{subject}_dwi.nii.gz")] == ["sub-01"]


def test_results_within_the_dataset_are_not_taken_for_images_of_it(top):
    table(image(top / "site/A/dwi/x.nii.gz").parent / "x")
    image(top / "out/sub-A/dwi/sub-A_desc-denoised_dwi.nii.gz")
    (found,) = series.from_pattern(top, "*/{subject}/dwi/*.nii.gz", out=top / "out")
    assert found.image == top / "site/A/dwi/x.nii.gz"


def test_of_several_tables_in_a_folder_the_one_with_all_entities_is_used_and_else_none(tmp_path):
    image(tmp_path / "sub-01/dwi/sub-01_acq-a_dir-AP_dwi.nii.gz")
    for entities in ("acq-a", "dir-AP"):
        table(tmp_path / f"{entities}_dwi")
    assert "acq-a_dwi.bval" in only(tmp_path).problem and "dir-AP_dwi.bval" in only(tmp_path).problem
    table(tmp_path / "sub-01/dwi/sub-01_dwi")
    table(tmp_path / "sub-01/dwi/sub-01_acq-a_dir-AP_dwi")
    assert only(tmp_path).bval.name == "sub-01_acq-a_dir-AP_dwi.bval"
    assert not only(tmp_path).problem


@pytest.mark.parametrize(("subjects", "sessions", "names"), [
    (["02"], [], ["sub-02_ses-1", "sub-02_ses-2"]),
    (["sub-01", "02"], ["ses-2"], ["sub-02_ses-2"]),
    ([], ["1"], ["sub-02_ses-1"]),
])  # fmt: skip
def test_labels_are_chosen_with_and_without_their_prefix(top, subjects, sessions, names):
    for session in "12":
        image(top / f"sub-02/ses-{session}/dwi/sub-02_ses-{session}_dwi.nii.gz")
    assert [one.name for one in series.from_bids(top, subjects, sessions)] == names


@pytest.mark.parametrize("labels", [{"subjects": ["1"]}, {"sessions": ["x"]}])
def test_an_unknown_label_is_refused_with_those_there_are(top, labels):
    image(top / "sub-02/ses-y/dwi/sub-02_ses-y_dwi.nii.gz")
    with pytest.raises(OptionError) as error:
        series.from_bids(top, **labels)
    assert error.value.code == "bad-value"
    assert ("01, 02" if "subjects" in labels else "y") in error.value.hint


@pytest.mark.parametrize("name", ["sub-02/dwi/sub-01_dwi.nii.gz", "sub-a_b/dwi/sub-a_b_dwi.nii.gz",
                                  "sub-02/dwi/sub-02_acq-a;b_dwi.nii.gz", "sub-02/ses-1/dwi/sub-02_dwi.nii.gz",
                                  "sub-01/dwi/sub-01_dwi.nii"])  # fmt: skip
def test_a_name_that_would_mix_up_outputs_is_refused(top, name):
    image(top / name)
    with pytest.raises(OptionError) as error:
        series.from_bids(top)
    assert error.value.code == "bad-name"
    assert name in str(error.value)


def test_a_folder_without_series_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(OptionError) as error:
        series.from_bids(tmp_path)
    assert error.value.code == "no-file" and "--pattern" in error.value.hint
    with pytest.raises(OptionError) as error:
        series.from_bids(tmp_path / "missing")
    assert error.value.code == "no-folder"


def test_a_missing_library_is_named(top, monkeypatch):
    monkeypatch.setitem(sys.modules, "ancpbids", None)
    monkeypatch.setattr("provision.extras.find_spec", lambda name: None if name == "ancpbids" else name)
    with pytest.raises(ProvisionError) as error:
        series.from_bids(top)
    assert error.value.code == "missing-packages" and "[study]" in error.value.hint


# What is wrong with a series


@pytest.mark.parametrize("end", ["_dwi.NII.GZ", "_dwi.Nii", "_DWI.nii.gz"])
def test_an_image_in_capitals_which_mrtrix3_does_not_open_is_a_problem_and_not_left_out(top, end):
    image(top / "sub-02/dwi/x.nii.gz").rename(top / f"sub-02/dwi/sub-02_dir-AP{end}")
    first, second = series.from_bids(top)
    assert not first.problem and (second.subject, second.name) == ("02", "sub-02_dir-AP")
    assert f"sub-02_dir-AP{end}" in second.problem and second.image.is_file()


def test_an_image_of_a_pattern_in_capitals_is_a_problem_and_not_left_out(top):
    table(top / "sub-01/dwi/sub-01_dwi")
    image(top / "sub-02/dwi/x.nii.gz").rename(top / "sub-02/dwi/x.NII.GZ")
    first, second = series.from_pattern(top, "{subject}/dwi/*")
    assert not first.problem and second.name == "sub-02" and "x.NII.GZ" in second.problem


def test_content_that_datalad_has_not_fetched_is_named_with_how_to_get_it(top):
    path = top / "sub-01/dwi/sub-01_dwi.nii.gz"
    path.unlink()
    path.symlink_to("../../.git/annex/objects/xx/yy/gone")
    assert "datalad get" in only(top).problem
    path.unlink()
    path.write_text("/annex/objects/MD5E-s1--0.nii.gz\n")
    assert "datalad get" in only(top).problem


def cut(path, kept):
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])


@pytest.mark.parametrize("kept", [0, 0.001, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("name", ["sub-01_dwi.nii", "sub-01_dwi.nii.gz"])
def test_an_image_that_ends_early_is_a_problem(tmp_path, name, kept):
    table(tmp_path / "dwi")
    cut(image(tmp_path / "sub-01/dwi" / name, (9, 9, 9, 13)), kept)
    assert name in only(tmp_path).problem


def test_an_image_that_is_none_is_a_problem_of_one_line(top):
    (top / "sub-01/dwi/sub-01_dwi.nii.gz").write_bytes(b"PK\x03\x04" * 400)
    assert "\n" not in only(top).problem and "not an image" in only(top).problem


def test_an_image_in_several_gzip_streams_is_whole(top):
    path = top / "sub-01/dwi/sub-01_dwi.nii.gz"
    data = gzip.decompress(path.read_bytes())
    buffer = io.BytesIO()
    for part in (data[:400], data[400:], b""):
        buffer.write(gzip.compress(part))
    path.write_bytes(buffer.getvalue())
    assert not only(top).problem


@pytest.mark.parametrize("bvals", [
    "", "0 x", "0 nan", "1e400 0", "0 -5", "0 1_0", "0 " + "9" * 500, "0 1\n2 3\n", "1 2\n3", "\x00\xff",
    " ".join(["0"] * 12), " ".join(["1000"] * 13), "0 " + "1000 1500 2000 2500 " * 3,
    " ".join(str(100 * step) for step in range(13)),
])  # fmt: skip
def test_b_values_that_make_no_sense_are_a_problem(top, bvals):
    (top / "dwi.bval").write_text(bvals)
    found = only(top)
    assert found.problem.endswith(".") and "\n" not in found.problem
    assert not found.shells and not found.note


def test_a_huge_table_is_not_read(top):
    with (top / "dwi.bval").open("wb") as file:
        file.truncate(10**12)
    assert "too large" in only(top).problem


@pytest.mark.parametrize("bvecs", [
    BVECS[:-1],
    [[float("nan")] * 3, *BVECS[1:]],
    [[0, 0, 0]] * 13,
    [[0, 0, 0], *[[1, 0, 0], [-1, 0, 0], [0, 1, 0]] * 4],
    [row[:2] for row in BVECS],
])  # fmt: skip
def test_b_vectors_that_make_no_sense_are_a_problem(top, bvecs):
    table(top / "dwi", BVALS, bvecs)
    assert only(top).problem


def test_b_vectors_in_rows_are_taken_as_mrtrix3_takes_them(top):
    (top / "dwi.bvec").write_text("# a comment\n" + "\n".join(",".join(map(str, row)) for row in BVECS))
    (top / "dwi.bval").write_text("\r\n".join(map(str, BVALS)))
    assert (only(top).problem, only(top).shells) == ("", (0, 1000, 2000))


@pytest.mark.parametrize(("shape", "word"), [((2, 2, 2), "1 volume,"), ((2, 2, 2, 12), "12 volumes"),
                                             ((2, 2, 2, 13, 2), "four dimensions")])  # fmt: skip
def test_volumes_and_table_have_to_agree(top, shape, word):
    image(top / "sub-01/dwi/sub-01_dwi.nii.gz", shape)
    assert word in only(top).problem


@pytest.mark.parametrize("missing", ["bval", "bvec"])
def test_a_missing_half_of_the_table_is_a_problem(top, missing):
    (top / f"dwi.{missing}").unlink()
    assert f"no .{missing}" in only(top).problem


def test_a_series_without_a_table_is_a_problem(top):
    for half in ("bval", "bvec"):
        (top / f"dwi.{half}").unlink()
    assert "no gradient table" in only(top).problem


@pytest.mark.parametrize("name", ["sub-01_dir-PA", "sub-01_part-phase"])
def test_what_is_no_series_of_its_own_is_left_out_with_a_note(top, name):
    image(top / f"sub-01/dwi/{name}_dwi.nii.gz", (2, 2, 2, 2))
    (top / f"sub-01/dwi/{name}_dwi.bval").write_text("0 5")
    found = {one.name: one for one in series.from_bids(top)}
    assert found[name].note and not found[name].problem
    assert not found["sub-01"].note


def test_b0_volumes_without_any_table_are_left_out_with_a_note(tmp_path):
    image(tmp_path / "sub-01/dwi/sub-01_dir-PA_dwi.nii.gz", (2, 2, 2))
    assert only(tmp_path).note and not only(tmp_path).problem


# Folders that are not BIDS


def names(folder, pattern, **labels):
    return [one.name for one in series.from_pattern(folder, pattern, **labels)]


def test_a_pattern_finds_subjects_and_sessions_and_cleans_their_labels(tmp_path):
    for place in ("S_01/pre/dwi", "S_01/post-2/dwi", "sub-7/ses-1/dwi", "S_02/pre/other", ".hidden/pre/dwi"):
        image(tmp_path / f"{place}.nii.gz")
        table(tmp_path / place)
    found = series.from_pattern(tmp_path, "{subject}/{session}/dwi.nii.gz")
    assert [one.name for one in found] == ["sub-7_ses-1", "sub-S01_ses-post2", "sub-S01_ses-pre"]
    assert [one.shells for one in found] == [(0, 1000, 2000)] * 3
    assert found[1].folder == "sub-S01/ses-post2/dwi"
    assert names(tmp_path, "./{subject}/{session}/dw*", subjects=["S_01"], sessions=["pre"]) == ["sub-S01_ses-pre"]


def test_a_pattern_may_be_within_one_name_and_repeat_a_label(tmp_path):
    for name in ("A/A_dwi_x.nii", "B/B_dwi_y.nii", "B/C_dwi_z.nii", "B/B_dwi_.txt"):
        image(tmp_path / name) if name.endswith(".nii") else (tmp_path / name).touch()
    assert names(tmp_path, "{subject}/{subject}_dwi_*") == ["sub-A", "sub-B"]


@pytest.mark.parametrize("pair", [("a.bval", "a.bvec"), ("bvals", "bvecs"), ("grad.bval", "x.bvec")])
def test_the_table_is_next_to_the_image(tmp_path, pair):
    image(tmp_path / "1/a.nii.gz")
    table(tmp_path / "t")
    for half, name in zip(("bval", "bvec"), pair, strict=True):
        (tmp_path / f"t.{half}").rename(tmp_path / "1" / name)
    (found,) = series.from_pattern(tmp_path, "{subject}/*.nii.gz")
    assert (found.bval.name, found.bvec.name, found.problem) == (*pair, "")


def test_the_table_of_another_image_is_not_borrowed(tmp_path):
    for subject in "ab":
        image(tmp_path / f"{subject}_dwi.nii.gz")
    table(tmp_path / "a_dwi")
    for chosen in ([], ["b"]):
        assert series.from_pattern(tmp_path, "{subject}_dwi.nii.gz", chosen)[-1].problem


@pytest.mark.parametrize("pattern", ["dwi.nii.gz", "/{subject}.nii", "{subject}/../x.nii", "{subject}/{run}.nii",
                                     "{subject}/**/x.nii", "{subject.__class__}/x.nii"])  # fmt: skip
def test_a_pattern_that_is_not_allowed_is_refused(tmp_path, pattern):
    with pytest.raises(OptionError) as error:
        series.from_pattern(tmp_path, pattern)
    assert error.value.code == "bad-value"


def test_a_pattern_is_no_regular_expression(tmp_path):
    image(tmp_path / "1/dwi.nii")
    with pytest.raises(OptionError) as error:
        series.from_pattern(tmp_path, "{subject}/d.i[.]nii")
    assert error.value.code == "no-file"


@pytest.mark.parametrize("files", [("S_1.nii", "S-1.nii"), ("s1.nii", "S1.nii"), ("1.nii", "1.nii.gz")])
def test_two_images_with_one_label_are_refused_by_name(tmp_path, files):
    for name in files:
        image(tmp_path / name)
    with pytest.raises(OptionError) as error:
        series.from_pattern(tmp_path, "{subject}.n*")
    assert error.value.code == "bad-name"
    assert all(name in error.value.message for name in files)


def test_a_label_without_letters_is_refused(tmp_path):
    image(tmp_path / "__.nii")
    with pytest.raises(OptionError) as error:
        series.from_pattern(tmp_path, "{subject}.nii")
    assert error.value.code == "bad-name"


@pytest.mark.parametrize(("scheme", "shells"), [
    ([[*row, b] for row, b in zip(BVECS, BVALS, strict=True)], (0, 1000, 2000)), (None, ()), ([[1, 2]], ())
])  # fmt: skip
def test_a_mif_image_has_its_table_in_its_header(tmp_path, monkeypatch, scheme, shells):
    def run(name, path, option, place, **_):
        keyval = {"dw_scheme": scheme} if scheme else {}
        place.write_text(json.dumps({"size": [2, 2, 2, 13], "keyval": keyval}))

    monkeypatch.setattr(mrtrix3, "run", run)
    (tmp_path / "1.mif").write_bytes(b"mrtrix image")
    (found,) = series.from_pattern(tmp_path, "{subject}.mif")
    assert (found.shells, bool(found.problem)) == (shells, not shells)
    assert found.bval is found.bvec is None


def test_a_mif_image_that_mrtrix3_refuses_is_a_problem_and_a_missing_mrtrix3_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "1.mif").write_bytes(b"mrtrix image")
    errors = [OptionError("MRtrix3 cannot read it."), ProvisionError("none", code="not-installed")]

    def run(*_, **__):
        raise errors.pop(0)

    monkeypatch.setattr(mrtrix3, "run", run)
    assert series.from_pattern(tmp_path, "{subject}.mif")[0].problem == "MRtrix3 cannot read it."
    with pytest.raises(ProvisionError) as error:
        series.from_pattern(tmp_path, "{subject}.mif")
    assert error.value.code == "not-installed"
