"""Where the lock of a machine is, and what is in its place."""

import errno
import os
import stat

import pytest

from plugins.module_utils.provision import lock as utility
from provision.engine import lock
from provision.errors import ProvisionError


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_the_umask_opens_it_to_nobody(tmp_path, monkeypatch, mask):
    place = tmp_path / "home" / "state" / "lock"
    monkeypatch.setattr(utility, "places", lambda: [str(place)])
    before = os.umask(mask)
    try:
        with utility.held("x"):
            assert [mode_of(path) for path in (place, place / "held")] == [0o700, 0o600]
            assert not mode_of(place.parent) & 0o022 and not mode_of(place.parent.parent) & 0o022
    finally:
        os.umask(before)


def test_a_folder_that_was_opened_to_others_is_closed_again(lock_place):
    lock_place.mkdir(mode=0o777)
    lock_place.chmod(0o777)
    with lock.held("x"):
        assert mode_of(lock_place) == 0o700


def test_a_full_disk_does_not_keep_it_from_being_held(monkeypatch, lock_place):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with lock.held("x"):
        assert lock.holder() == {}
    with lock.held("y", wait=0):
        pass


def test_roots_is_in_run_and_a_users_beside_their_notes(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert utility.places() == ["/run/provision", "/tmp/.provision-0"]
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert utility.places() == [f"{tmp_path}/.local/state/provision/lock", "/tmp/.provision-1000"]
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert utility.places()[1] == "/tmp/.provision-1000"  # the same for every login


@pytest.mark.parametrize("taken", ["link", "folder"])
def test_what_is_in_the_place_of_its_file_is_told_and_not_touched(lock_place, tmp_path, taken):
    lock_place.mkdir(mode=0o700)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    if taken == "link":
        (lock_place / "held").symlink_to(victim)
    else:
        (lock_place / "held").mkdir()
    with pytest.raises(ProvisionError) as caught, lock.held("x"):
        pass
    assert caught.value.code == "lock-folder" and str(lock_place / "held") in caught.value.message
    assert caught.value.hint and victim.read_text() == "precious"
    assert lock.holder() is None


def test_no_place_at_all_is_one_sentence(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(lock._lock, "places", lambda: [str(tmp_path / "file" / "lock")])
    with pytest.raises(ProvisionError) as caught, lock.held("x"):
        pass
    assert caught.value.code == "lock-folder" and str(tmp_path / "file") in caught.value.message
