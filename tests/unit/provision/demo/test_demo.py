"""What the demo asks for before it begins."""

import pytest

from provision.demo import pipeline
from provision.demo.demo import demo
from provision.errors import OptionError, ProvisionError


def test_what_the_demo_lacks_is_told_before_anything_is_installed(ran, monkeypatch, tmp_path):
    with pytest.raises(OptionError) as refused:
        demo(tmp_path / "demo", data="head")
    assert refused.value.code == "bad-value" and "'head'" in refused.value.message
    monkeypatch.setattr(pipeline, "_EXTRA", ("no_such_package",))
    with pytest.raises(ProvisionError) as failed:
        demo(tmp_path / "demo")
    assert failed.value.code == "missing-packages" and "no_such_package" in failed.value.message
    assert ran == {}


def test_a_folder_with_other_files_is_refused_before_anything_is_installed_and_left_as_it_is(ran, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "report.html").write_text("mine")
    with pytest.raises(OptionError) as caught:
        demo(folder)
    assert caught.value.code == "file-exists" and str(folder) in caught.value.message
    assert [path.read_text() for path in folder.iterdir()] == ["mine"]
    assert ran == {}
    (folder / "demo.log").touch()
    pipeline.check("phantom", folder)  # of an earlier demo
