"""Sample data: the head that dipy downloads, and the phantom in its place."""

from __future__ import annotations

import shlex
import socket
import time
from urllib.error import URLError

import dipy.data
import dipy.data.fetcher
import nibabel
import pytest

import provision
from provision import OptionError, ProvisionError, extras
from provision.demo import phantom
from provision.demo import sample as samples


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Make phantoms of few voxels, which take no time."""
    make = phantom.make_phantom
    monkeypatch.setattr(phantom, "make_phantom", lambda shape=(8, 8, 4), **given: make(shape, **given))


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(samples, "_failed", [])


@pytest.fixture
def head(monkeypatch, tmp_path):
    """Have dipy's server give a head; return the folder."""
    folder = tmp_path / "dipy"
    monkeypatch.setattr(dipy.data, "fetch_sherbrooke_3shell", lambda: ({}, folder))
    return folder


@pytest.fixture
def unreachable(monkeypatch):
    def fetch():
        raise URLError("timed out")

    monkeypatch.setattr(dipy.data, "fetch_sherbrooke_3shell", fetch)


@pytest.fixture
def silent(monkeypatch, tmp_path):
    """Have dipy's server accept connections and never answer; return the server and dipy's folder."""
    folder = tmp_path / "dipy"
    names = ["HARDI193.nii.gz", "HARDI193.bval", "HARDI193.bvec"]
    md5 = ["d41d8cd98f00b204e9800998ecf8427e"] * len(names)  # of files without content
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(samples, "ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        fetch = dipy.data.fetcher._make_fetcher("fetch", folder, address, names, names, md5_list=md5)
        monkeypatch.setattr(dipy.data, "fetch_sherbrooke_3shell", fetch)
        yield server, folder


def asked(server):
    """Return whether anyone has connected since the last look."""
    server.setblocking(False)
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_a_server_that_does_not_answer_is_waited_for_in_silence_and_no_longer_than_5_seconds(silent, tmp_path, capfd):
    assert samples.ANSWER_SECONDS <= 5
    began = time.monotonic()
    found = provision.sample(folder=tmp_path / "made")
    assert found.name == "phantom" and time.monotonic() - began < 5
    out, err = capfd.readouterr()
    assert not out and len(err.splitlines()) == 1 and "127.0.0.1" in err


def test_that_it_did_not_answer_is_remembered_until_the_head_is_asked_for(silent, tmp_path):
    server, _ = silent
    provision.sample(folder=tmp_path / "made")
    assert asked(server)
    assert provision.sample(folder=tmp_path / "made").name == "phantom"
    assert not asked(server)
    with pytest.raises(ProvisionError) as raised:
        provision.sample("sherbrooke_3shell")
    assert raised.value.code == "unreachable" and asked(server)


def test_files_that_are_there_need_no_server(silent):
    server, folder = silent
    folder.mkdir()
    for name in ("HARDI193.nii.gz", "HARDI193.bval", "HARDI193.bvec"):
        (folder / name).touch()
    assert provision.sample().folder == folder
    assert not asked(server)


def test_a_head_that_was_fetched_after_all_is_given_from_then_on(unreachable, tmp_path, monkeypatch):
    assert provision.sample(folder=tmp_path / "made").name == "phantom"
    monkeypatch.setattr(dipy.data, "fetch_sherbrooke_3shell", lambda: ({}, tmp_path))
    provision.sample("sherbrooke_3shell")
    assert provision.sample().name == "sherbrooke_3shell"


def test_it_is_the_server_of_dipys_own_files_that_is_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(samples.Path, "exists", lambda _: False)
    monkeypatch.setattr(samples, "_refusal", lambda address: asked.append(address) or "")
    samples._wait_for_server(dipy.data.fetch_sherbrooke_3shell)
    assert len(asked) == 1 and asked[0].startswith("https://") and "HARDI193" in asked[0]


def test_without_a_name_it_is_the_head(head, capsys):
    found = provision.sample()
    assert (found.name, found.image) == ("sherbrooke_3shell", head / "HARDI193.nii.gz")
    assert (found.bvecs, found.bvals) == (head / "HARDI193.bvec", head / "HARDI193.bval")
    assert capsys.readouterr() == ("", "")


def test_where_the_head_cannot_be_had_the_phantom_is_and_that_is_told(unreachable, tmp_path, capsys):
    found = provision.sample(folder=tmp_path / "made")
    assert found.name == "phantom" and nibabel.load(found.image).shape == (8, 8, 4, 193)
    said = capsys.readouterr().err
    assert "sherbrooke_3shell" in said and "timed out" in said and "phantom" in said


def test_who_asks_for_the_head_gets_no_phantom(unreachable, tmp_path):
    with pytest.raises(ProvisionError) as raised:
        provision.sample("sherbrooke_3shell", folder=tmp_path / "made")
    assert raised.value.code == "unreachable" and "timed out" in raised.value.message
    assert not (tmp_path / "made").exists()


def test_for_the_phantom_nobody_is_asked(unreachable, tmp_path, capsys):
    assert provision.sample("phantom", folder=tmp_path).name == "phantom"
    assert capsys.readouterr() == ("", "")


def test_the_phantom_is_in_the_current_folder_and_found_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = provision.sample("phantom")
    assert found.image == tmp_path / "phantom" / "dwi.nii.gz"
    assert [path.is_file() for path in (found.image, found.bvecs, found.bvals)] == [True] * 3


def test_a_second_call_writes_the_same_files(tmp_path):
    first, second = (provision.sample("phantom", folder=tmp_path) for _ in range(2))
    assert first == second


def test_a_shell_takes_the_arguments_as_four_words_whatever_the_folder_is_called(tmp_path):
    found = provision.sample("phantom", folder=tmp_path / "My Drive; $(x)")
    assert shlex.split(found.arguments) == [str(found.image), "-fslgrad", str(found.bvecs), str(found.bvals)]


def test_a_name_that_there_is_not_is_an_error_that_offers_the_nearest():
    with pytest.raises(OptionError) as raised:
        provision.sample("phantm")
    assert raised.value.code == "bad-value" and "'phantm'" in raised.value.message
    assert "'phantom'" in raised.value.hint


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ProvisionError) as raised:
        provision.sample("phantom", folder=tmp_path / "file" / "made")
    assert raised.value.code == "system-error" and f"{tmp_path}/file/made" in raised.value.message


def test_missing_packages_are_named_with_what_installs_them(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "dipy" else name)
    with pytest.raises(ProvisionError) as raised:
        provision.sample("phantom")
    assert raised.value.code == "missing-packages" and "dipy" in raised.value.message
    assert "mrtrix-provision[demo]" in raised.value.hint


def test_a_notebook_shows_which_data_they_are(tmp_path):
    found = provision.sample("phantom", folder=tmp_path / "<b>")
    assert "phantom" in found._repr_html_() and "&lt;b&gt;/dwi.nii.gz" in found._repr_html_()


def test_the_bids_folder_is_that_of_the_first_subject_with_the_table_that_all_inherit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = provision.sample("bids")
    assert found.folder == tmp_path / "bids"
    assert found.image == tmp_path / "bids/sub-01/dwi/sub-01_dwi.nii.gz"
    assert (found.bvecs, found.bvals) == (found.folder / "dwi.bvec", found.folder / "dwi.bval")
    assert provision.sample("bids") == found


@pytest.mark.parametrize(("name", "file"), [("phantom", "dwi.nii.gz"), ("bids", "dataset_description.json")])
def test_a_sample_is_not_written_over_somebodys_own_data(tmp_path, name, file):
    (tmp_path / file).write_text("mine")
    with pytest.raises(OptionError) as raised:
        provision.sample(name, folder=tmp_path)
    assert raised.value.code == "file-exists" and str(tmp_path) in raised.value.message
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["phantom", "bids"])
def test_what_jupyter_hides_in_a_folder_is_in_nobodys_way(tmp_path, name):
    (tmp_path / ".ipynb_checkpoints").mkdir()
    assert provision.sample(name, folder=tmp_path).image.exists()
