"""Files that are whole or not there."""

import os

import pytest

from plugins.module_utils.provision import files as files


def test_json_is_never_half_written(tmp_path):
    files.write_json(str(tmp_path / "state.json"), {"good": 1})
    with pytest.raises(TypeError):
        files.write_json(str(tmp_path / "state.json"), {"bad": object()})
    assert (tmp_path / "state.json").read_text() == '{\n "good": 1\n}'
    assert os.listdir(tmp_path) == ["state.json"]


def test_a_folder_is_made_with_its_mode_and_one_that_is_there_keeps_its_own(tmp_path):
    (tmp_path / "there").mkdir(mode=0o700)
    before = os.umask(0o077)
    try:
        for mode in (0o755, 0o700):
            files.make_folder(str(tmp_path / f"there/{mode}/deeper"), mode)
            files.make_folder(str(tmp_path / f"there/{mode}/deeper"))
            for name in (f"{mode}", f"{mode}/deeper"):
                assert (tmp_path / "there" / name).stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        files.make_folder(str(tmp_path / "file/deeper"))
