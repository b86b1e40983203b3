"""How MRtrix3's commands are found and called for a picture."""

import json
import os
import stat
import sys
import warnings

import pytest

from provision.errors import OptionError, ProvisionError
from provision.machine import notes
from provision.pictures import mrtrix3

COMMAND = """#!{python}
import json, os, sys
print(json.dumps([sys.argv[1:], os.environ.get("MRTRIX_QUIET"), os.environ["MRTRIX_TMPFILE_DIR"], sys.stdin.read()]))
sys.stderr.write({stderr!r})
sys.exit({code})
"""


@pytest.fixture
def mrinfo(tmp_path, monkeypatch):
    """Make a program of that name say something, and return its folder."""
    monkeypatch.setattr(notes, "read_state", lambda _: {})
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(stderr="", code=0):
        path = tmp_path / "mrinfo"
        path.write_text(COMMAND.format(python=sys.executable, stderr=stderr, code=code))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return tmp_path

    return make


def test_a_users_settings_do_not_turn_an_image_and_its_quiet_mode_hides_no_warning(mrinfo, monkeypatch):
    folder = mrinfo()
    monkeypatch.setenv("MRTRIX_QUIET", "1")
    arguments, quiet, temporary, typed = json.loads(mrtrix3.run("mrinfo", "a.nii", of="a.nii", folder=folder))
    assert arguments == ["a.nii", "-config", "RealignTransform", "true"]
    assert (quiet, temporary, typed) == (None, str(folder), "")


def test_a_warning_is_passed_on_once_with_the_name_of_the_image(mrinfo):
    folder, known = mrinfo("mrinfo: [WARNING] odd transform\nmrinfo: [WARNING] odd transform\n"), set()
    for expected in (["a.nii: odd transform"], []):
        with warnings.catch_warnings(record=True) as given:
            warnings.simplefilter("always")
            mrtrix3.run("mrinfo", of="a.nii", folder=folder, known=known)
        assert [str(one.message) for one in given] == expected
        assert all(one.category is mrtrix3.ImageWarning for one in given)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ('file "a.nii" is smaller than expected', "damaged"),
        ("error uncompressing GZ file a.nii: incorrect data check", "damaged"),
        ('unknown format for image "a.nii"', "unknown-format"),
        ("cannot create file: No space left on device", "disk-full"),
        ("anything else", "bad-image"),
    ],
)
def test_an_error_is_one_sentence_with_the_first_thing_it_said_and_a_code(mrinfo, said, code):
    folder = mrinfo(f"mrinfo: [ERROR] \x1b[31m{said}\nmrinfo: [ERROR] error opening image\n", 1)
    with pytest.raises(OptionError) as caught:
        mrtrix3.run("mrinfo", of="a.nii", folder=folder)
    assert caught.value.code == code and said.replace('"', "") in caught.value.message


def test_an_end_without_a_word_has_its_exit_code(mrinfo):
    with pytest.raises(ProvisionError) as caught:
        mrtrix3.run("mrinfo", of="a.nii", folder=mrinfo(code=7))
    assert caught.value.code == "failed" and "7" in caught.value.message


def test_a_command_that_crashes_says_that_the_file_may_be_damaged(mrinfo):
    folder = mrinfo()
    (folder / "mrinfo").write_text("#!/bin/sh\nkill -ABRT $$\n")
    with pytest.raises(OptionError) as caught:
        mrtrix3.run("mrinfo", of="a.nii.gz", folder=folder)
    assert caught.value.code == "damaged" and "a.nii.gz" in caught.value.message


def test_without_mrtrix3_the_call_that_installs_it_is_named_and_a_missing_command_by_itself(mrinfo, tmp_path):
    with pytest.raises(ProvisionError) as caught:
        mrtrix3.command("mrconvert")
    assert caught.value.code == "not-installed" and 'run("mrtrix3")' in caught.value.hint
    mrinfo()
    with pytest.raises(ProvisionError) as caught:
        mrtrix3.command("mrconvert")
    assert caught.value.code == "not-installed" and 'commands=["mrconvert"]' in caught.value.hint


def test_an_installation_that_is_not_on_path_is_found_by_its_note(mrinfo, monkeypatch):
    folder = mrinfo()
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr(notes, "read_state", lambda _: {"report": {"bin": str(folder)}})
    assert mrtrix3.command("mrinfo") == folder / "mrinfo"
