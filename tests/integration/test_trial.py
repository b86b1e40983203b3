"""Programs from elsewhere are tried without root's rights."""

import os
import shutil
import subprocess
import tempfile
import time

import pytest

from plugins.module_utils.provision.tool import trial as trial

is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")


class Failed(Exception):
    def __init__(self, message, hint="", code=""):
        super().__init__(message)
        self.message, self.hint, self.code = message, hint, code


@pytest.fixture
def folder():
    """A folder that everybody can reach, as that of a prefix is."""
    folder = tempfile.mkdtemp(dir="/tmp")
    os.chmod(folder, 0o755)
    yield folder
    shutil.rmtree(folder)


def children():
    """Return the processes that this one has started; other tests may have left some."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return file.read().split()


def tried(function, folder):
    return trial.without_rights(function, str(folder), Failed)


@is_root
def test_root_tries_as_nobody_with_nothing_of_its_own(folder, monkeypatch):
    monkeypatch.setenv("TOKEN", "sesame")

    def look():
        script = "grep NoNewPrivs /proc/self/status; env; pwd; id -G"
        said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
        with tempfile.TemporaryDirectory() as place:
            return [os.getuid(), os.getgid(), said, place]

    uid, gid, said, place = tried(look, folder)
    assert (uid, gid) == (65534, 65534) and said.splitlines()[-2:] == ["/", "65534"]
    assert "NoNewPrivs:\t1" in said and "sesame" not in said and "HOME=/nonexistent" in said and "PATH=" in said
    assert not os.path.exists(place)


@is_root
def test_what_is_tried_cannot_change_what_is_roots(folder):
    def harm():
        with open(os.path.join(folder, "planted"), "w") as file:
            file.write("x")

    with pytest.raises(Failed) as caught:
        tried(harm, folder)
    assert caught.value.code == "does-not-run" and "Permission denied" in caught.value.message
    assert os.listdir(folder) == []


def test_an_error_comes_back_with_what_to_do(folder):
    def fail():
        raise Failed("It does not run.", "Mend it.", "of-its-own")

    with pytest.raises(Failed) as caught:
        tried(fail, folder)
    assert (caught.value.message, caught.value.hint) == ("It does not run.", "Mend it.")
    assert caught.value.code == "of-its-own"


@is_root
def test_where_only_root_gets_to_root_tries(tmp_path):
    (tmp_path / "bin").mkdir()
    os.chmod(tmp_path, 0o700)
    assert tried(os.getuid, tmp_path / "bin") == 0


@is_root
@pytest.mark.parametrize(("more", "who"), [("", 0), (":/usr/bin", 65534)])
def test_where_only_root_gets_to_a_python_root_tries(folder, tmp_path, monkeypatch, more, who):
    (tmp_path / "python3").symlink_to("/bin/true")
    os.chmod(tmp_path, 0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{more}")
    assert tried(os.getuid, folder) == who


@is_root
def test_where_root_cannot_become_anybody_else_it_tries_itself(folder, monkeypatch):
    def refuse(_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(trial.os, "setuid", refuse)
    monkeypatch.setattr(trial.os, "setgid", refuse)
    monkeypatch.setattr(trial.os, "setgroups", refuse)
    assert tried(os.getuid, folder) == 0


@is_root
@pytest.mark.parametrize("end", [lambda: os._exit(3), lambda: os.kill(os.getpid(), 9), lambda: time.sleep(60), object])
def test_what_does_not_answer_has_failed_and_nothing_of_it_goes_on(folder, monkeypatch, end):
    monkeypatch.setattr(trial, "SECONDS", 1)
    before = set(children())
    with pytest.raises(Failed):
        tried(end, folder)
    assert set(children()) <= before  # one of before may have been reaped
