"""What a run is given: nothing of the caller's that would change it, and nothing of anybody's that could hurt it."""

from __future__ import annotations

import configparser
import fcntl
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provision.engine import catalog, content, launch
from provision.errors import ProvisionError

from .exported import EXPORTED


@pytest.fixture
def private(tmp_path):
    return tmp_path


def given(private, local, runners=None):
    """Return the environment of a run, as it is after ansible-runner has put its own variables into it."""
    ours = launch.environment(private, local=local)
    return launch.cleaned({**os.environ, **ours, **(runners or {})}, ours, local=local)


def test_a_run_on_this_machine_has_the_same_environment_whatever_is_exported(private, monkeypatch):
    plain = given(private, local=True)
    for name, value in EXPORTED.items():
        monkeypatch.setenv(name, value)
    assert given(private, local=True) == {**plain, "ANSIBLE_STDOUT_CALLBACK": "", "ANSIBLE_CALLBACK_PLUGINS": ""}


def test_what_ansible_runner_sets_stays_although_the_caller_exports_the_same(private, monkeypatch):
    monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", "awx_display")
    assert given(private, True, {"ANSIBLE_STDOUT_CALLBACK": "awx_display"})["ANSIBLE_STDOUT_CALLBACK"] == "awx_display"


def test_on_other_machines_the_few_that_are_documented_stay(private, monkeypatch):
    for name in (*EXPORTED, *launch.KEPT):
        monkeypatch.setenv(name, "there")
    assert {name for name, value in given(private, local=False).items() if value == "there"} & {
        *EXPORTED, *launch.KEPT
    } == set(launch.KEPT)  # fmt: skip
    page = (content.root() / "docs" / "howto" / "fleet.md").read_text()
    assert all(f"`{name}`" in page for name in launch.KEPT)


def test_variables_that_are_not_utf_8_are_left_out(private, monkeypatch):
    plain = given(private, local=True)
    monkeypatch.setenv("PATH", "/\udce9", prepend=os.pathsep)
    monkeypatch.setenv("SOME", "\udce9")
    assert given(private, local=True) == plain


def test_proxies_and_agents_reach_a_run(private, monkeypatch):
    for name in ("https_proxy", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "there")
        assert given(private, local=True)[name] == "there"


def test_a_host_whose_key_is_unknown_is_refused(private):
    assert given(private, local=False)["ANSIBLE_HOST_KEY_CHECKING"] == "True"


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_what_a_run_keeps_to_itself_is_its_owners_whatever_the_umask(monkeypatch, tmp_path, umask):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(launch, "temporary_folder", lambda: tmp_path)
    before = os.umask(umask)
    try:
        with launch.private_folder() as folder:
            modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in folder.iterdir() if path.is_dir()}
            assert stat.S_IMODE(folder.stat().st_mode) & 0o066 == 0
            assert (modes["runner"], modes["progress"], modes["tmp"]) == (0o700, 0o700, 0o1777)
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 60, "a b", "{{ x }}", "$x", "é"])
def test_a_folder_for_temporary_files_that_ansible_cannot_use_is_passed_over(monkeypatch, tmp_path, name):
    (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / name))
    assert launch.temporary_folder() == Path("/tmp")


def test_no_file_is_written_to_find_out_which_folder_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    monkeypatch.setattr("tempfile._get_default_tempdir", lambda: pytest.fail("it writes one"))
    monkeypatch.setattr("tempfile.tempdir", None)
    with launch.private_folder() as folder:
        assert folder.parent == Path("/var/tmp")


def test_no_folder_for_temporary_files_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(launch, "temporary_folder", lambda: tmp_path / "gone")
    with pytest.raises(ProvisionError) as raised, launch.private_folder():
        pass
    assert raised.value.code == "temporary" and str(tmp_path) in raised.value.message


def make_left(folder: Path) -> Path:
    folder.mkdir()
    (folder / "alive").touch()
    return folder


def test_nothing_of_others_is_deleted_or_opened(tmp_path, monkeypatch):
    ours = make_left(tmp_path / "provision-ours")
    (tmp_path / "provision-demo").mkdir()
    (tmp_path / "provision-demo" / "wmfod.mif").touch()  # what somebody has made here
    link = tmp_path / "provision-link"
    link.symlink_to(make_left(tmp_path / "elsewhere"))
    (tmp_path / "provision-file").touch()
    pipe = tmp_path / "provision-pipe"
    pipe.mkdir()
    os.mkfifo(pipe / "alive")  # who opens it to write waits for ever
    planted = tmp_path / "provision-planted"
    planted.mkdir()
    (planted / "alive").symlink_to(tmp_path / "made-by-root")
    assert launch.left_behind(tmp_path) in ([ours], [ours, pipe])
    assert not (tmp_path / "made-by-root").exists()
    monkeypatch.setattr(os, "getuid", lambda: ours.stat().st_uid + 1)
    assert launch.left_behind(tmp_path) == []


def test_a_run_that_lives_and_one_that_has_just_begun_are_no_left_ones(tmp_path):
    alive = make_left(tmp_path / "provision-alive") / "alive"
    begun = tmp_path / "provision-begun"
    begun.mkdir()
    with alive.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert launch.left_behind(tmp_path) == []
    os.utime(begun, (time.time() - 100, time.time() - 100))
    assert launch.left_behind(tmp_path) == [alive.parent, begun]


HOSTILE = ("{{ lookup('pipe', 'id') }}", "{% for x in y %}", "'\"\\", "two\nlines", "#jinja2: x", "!unsafe x", "")


def texts(value):
    """Give every text in a value that Ansible would take for a template: one that is not marked as unsafe."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict) and set(value) != {"__ansible_unsafe"}:
        yield from (text for item in value.values() for text in texts(item))
    elif isinstance(value, list):
        yield from (text for item in value for text in texts(item))


@pytest.mark.parametrize(
    "option", [option for role in catalog.roles().values() for option in role.options.values()], ids=lambda o: o.name
)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_every_option_of_every_role_reaches_ansible_as_text(option, hostile):
    value = {"list": [hostile], "dict": {hostile: hostile}}.get(option.type, hostile)
    assert list(texts(json.loads(json.dumps(launch.as_text({option.name: value}))))) == []


def test_variables_are_handed_over_once_and_nothing_of_them_is_in_a_file(tmp_path):
    (tmp_path / "runner").mkdir()
    with launch.variables_file(tmp_path, {"token": "marker", "jobs": 2}) as path:
        assert stat.S_ISFIFO(path.stat().st_mode) and stat.S_IMODE(path.stat().st_mode) == 0o600
        assert json.loads(path.read_text()) == {"token": {"__ansible_unsafe": "marker"}, "jobs": 2}


def test_variables_that_nobody_reads_hold_nothing_up(tmp_path):
    (tmp_path / "runner").mkdir()
    with launch.variables_file(tmp_path, {"long": "x" * 1_000_000}):
        pass


def test_the_program_is_interrupted_when_who_started_it_has_died_already(tmp_path):
    launcher = content.root() / "provision" / "engine" / "launcher.py"
    mark = tmp_path / "mark"
    done = subprocess.run([sys.executable, "-IS", launcher, "1", "/usr/bin/touch", mark], check=False)
    assert done.returncode == 1 and not mark.exists()
    subprocess.run([sys.executable, "-IS", launcher, str(os.getpid()), "/usr/bin/touch", mark], check=True)
    assert mark.exists()


def test_what_a_run_starts_keeps_the_library_path_of_the_notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/lib64-nvidia")
    # All that is not named here, ansible-playbook is given as this process has it.
    assert "LD_LIBRARY_PATH" not in launch.environment(tmp_path, local=True)


@pytest.mark.needs("ssh")
def test_a_terminal_or_command_of_the_users_own_configuration_does_not_come_between(tmp_path):
    settings = configparser.RawConfigParser()
    settings.read(content.root() / "ansible.cfg")
    (tmp_path / "config").write_text("RequestTTY force\nRemoteCommand tmux\n")
    words = ["ssh", "-G", "-F", tmp_path / "config", *settings["ssh_connection"]["ssh_args"].split(), "one", "true"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "requesttty false" in said.splitlines() and "remotecommand" not in said


def test_where_the_home_is_not_writable_connections_are_kept_with_the_run(private, monkeypatch):
    (private / "file").touch()
    for home in (private, private / "file", private / "file" / "x"):
        monkeypatch.setenv("HOME", str(home))
        given_ = launch.environment(private, local=False).get("ANSIBLE_SSH_CONTROL_PATH_DIR")
        assert given_ == (None if home == private else str(private / "cp"))
