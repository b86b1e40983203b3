"""Locks that end with whoever holds them."""

import errno
import fcntl
import os
import stat

import pytest

from plugins.module_utils.provision import file_lock


def test_a_lock_does_not_follow_a_link(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "made")
    with pytest.raises(OSError) as caught, file_lock.locked(str(tmp_path / "lock")):
        pass
    assert caught.value.errno == errno.ELOOP
    assert not (tmp_path / "made").exists()


def test_a_lock_that_was_deleted_by_its_holder_is_not_taken_for_held(tmp_path):
    path = str(tmp_path / "lock")
    with file_lock.locked(path):
        os.unlink(path)
        with file_lock.locked(path):  # another file, so that whoever comes now sees it
            assert file_lock.try_lock(path) is None


def test_a_lock_is_refused_while_it_is_held_and_free_afterwards(tmp_path):
    with (
        file_lock.locked(str(tmp_path / "lock")),
        pytest.raises(BlockingIOError),
        file_lock.locked(str(tmp_path / "lock")),
    ):
        pass
    with file_lock.locked(str(tmp_path / "lock")):
        pass


@pytest.mark.parametrize(("mode", "held"), [(0o600, True), (0o644, False), (0o660, False)])
def test_a_lock_that_others_can_open_keeps_nobody_out(tmp_path, mode, held):
    path = tmp_path / "lock"
    path.touch()
    path.chmod(mode)
    with path.open("rb") as others:
        fcntl.flock(others, fcntl.LOCK_EX)
        assert file_lock.try_lock(str(path)) is None
        again = file_lock.try_lock(str(path))
        assert (again is None) == held
        if again:
            again.close()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
