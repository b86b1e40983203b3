"""A folder is exchanged for another at once."""

import errno
import os

from plugins.module_utils.provision.tool import staging

from .file_systems import no_exchange, of_an_image


def test_an_exchange_leaves_the_new_folder_and_nothing_of_the_old(tmp_path):
    new, target = tmp_path / "new", tmp_path / "target"
    for folder, text in ((new, "new"), (target, "old")):
        folder.mkdir()
        (folder / "text").write_text(text)
    staging.exchange(str(new), str(target))
    assert (target / "text").read_text() == "new"
    assert os.listdir(tmp_path) == ["target"]


def test_an_exchange_works_without_the_kernels_help(tmp_path, monkeypatch):
    no_exchange(monkeypatch, errno.EINVAL)
    test_an_exchange_leaves_the_new_folder_and_nothing_of_the_old(tmp_path)


def test_a_staging_folder_of_a_killed_run_is_deleted(tmp_path):
    left = tmp_path / ".prefix.provision-abc"
    left.mkdir()
    (left / "half").write_text("x")
    with staging.staging(str(tmp_path / "prefix")) as folder:
        assert os.listdir(tmp_path) == [os.path.basename(folder)]
    assert os.listdir(tmp_path) == []


def test_a_folder_that_came_with_a_containers_image_is_exchanged_too(tmp_path, monkeypatch):
    no_exchange(monkeypatch, errno.EXDEV)
    of_an_image(monkeypatch, "target")
    test_an_exchange_leaves_the_new_folder_and_nothing_of_the_old(tmp_path)
