"""Links to commands, and commands of others."""

import os
import shutil

from plugins.module_utils.provision.tool import path


def test_a_name_that_is_somebody_elses_is_left_alone(installation):
    links = installation[1]
    (links / "mrinfo").unlink()
    (links / "mrinfo").write_text("mine")
    assert path.missing_links(str(links), ["mrinfo"]) == []


def test_a_foreign_mrtrix3_is_found_and_our_own_is_not(installation, monkeypatch, tmp_path):
    prefix, links, *_ = installation
    monkeypatch.setenv("PATH", f"{links}:{prefix / 'bin'}")
    assert path.foreign_command("mrinfo") == ""
    other = tmp_path / "other" / "bin"
    other.mkdir(parents=True)
    shutil.copy(prefix / "bin" / "mrinfo", other)
    monkeypatch.setenv("PATH", f"{links}:{other}")
    assert path.foreign_command("mrinfo") == str(other / "mrinfo")


def test_what_another_user_has_installed_with_the_role_is_there_too(installation, monkeypatch):
    prefix, links, *_ = installation
    monkeypatch.setenv("PATH", str(links))
    assert path.foreign_command("mrinfo") == ""
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(prefix).st_uid + 1)
    assert path.foreign_command("mrinfo") == str(prefix / "bin/mrinfo")
