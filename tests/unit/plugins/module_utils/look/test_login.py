"""Whom the server of the role sshd lets in, and what keeps a user out."""

from __future__ import annotations

import os
import time

import pytest

from plugins.module_utils.provision.look import login
from plugins.module_utils.provision.look import sshd as look

from .ssh_server import AT_CORP, FakeEntry, speaks_against


@pytest.mark.parametrize(
    "shell",
    ["/usr/sbin/nologin", "/bin/false", "/no/such/shell", "/etc/passwd"],
    ids=["ends at once", "ends at once too", "does not exist", "cannot be executed"],
)
def test_a_shell_that_lets_nobody_in_is_told_before_anything_is_begun(server, monkeypatch, tmp_path, shell):
    monkeypatch.setattr(login, "passwd_entry", lambda user: FakeEntry(user, os.getuid(), str(tmp_path), shell))
    message, hint, code = speaks_against(server)
    assert code == "no-shell" and shell in message and "usermod" in hint


TODAY = str(int(time.time() // 86400))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"expires": "1"}, "account-expired"),
        ({"expires": "0"}, "account-expired"),
        ({"expires": TODAY}, "account-expired"),
        ({"changed": "0"}, "password-expired"),
        ({"changed": "19000", "most": "10"}, "password-expired"),
        ({"changed": "19000", "most": "99999"}, ""),
        ({"changed": "", "most": "10"}, ""),
        ({"expires": "99999"}, ""),
        ({"hash": "!"}, ""),
    ],
)
def test_an_account_that_has_expired_is_told_before_anything_is_begun(server, monkeypatch, fields, code):
    names = dict.fromkeys(login._SHADOW, "")
    monkeypatch.setattr(login, "shadow_entry", lambda user: {**names, **fields})
    message, _hint, kind = speaks_against(server) or [login.user_name(), "", ""]
    assert kind == code and login.user_name() in message


@pytest.mark.parametrize("mode", [0o775, 0o777, 0o1777])
def test_a_folder_that_others_may_write_to_is_told_before_anything_is_begun(server, tmp_path, mode):
    # As with umask 002: sshd would trust no key below it.
    (tmp_path / "state").mkdir(mode=0o755)
    assert speaks_against(server) == []
    tmp_path.chmod(mode)
    message, hint, code = speaks_against(server)
    assert code == "unsafe-modes" and str(tmp_path) in message and hint.endswith(f"chmod go-w {tmp_path}")
    tmp_path.chmod(0o755)


def test_the_modes_of_the_roles_own_folders_are_mended_and_count_until_they_are(server, tmp_path):
    wanted, _ = server
    folder = tmp_path / "state/sshd"
    folder.mkdir(parents=True)
    (folder / "authorized_keys").touch()
    for path in (folder / "authorized_keys", folder, folder.parent):
        path.chmod(0o777)
        assert speaks_against(server) == []
        message, _hint, code = login.login_problem(wanted, login.user_name(), str(folder))
        assert code == "unsafe-modes" and f"{path}" in message
        path.chmod(0o755)
    assert login.login_problem(wanted, login.user_name(), str(folder)) == []


@pytest.mark.parametrize("name", ["a*b", "?", "a,b", 'a"b', "a\nb"])
def test_a_name_that_sshd_would_take_for_a_pattern_lets_nobody_else_in(server, monkeypatch, tmp_path, name):
    monkeypatch.setattr(login, "passwd_entry", lambda user: FakeEntry(user, 2000, str(tmp_path), "/bin/sh"))
    wanted, machine = server
    message, _hint, code = look.look_at({**wanted, "user": name}, {**machine, "root": True})["problem"]
    assert code == "bad-value" and repr(name) in message and "\n" not in message


def test_a_password_that_is_kept_elsewhere_cannot_be_set(server):
    wanted, machine = server
    wish = {**wanted, "user": AT_CORP, "authorized_keys": []}
    message, _hint, code = look.look_at(wish, {**machine, "root": True})["problem"]
    assert code == "password-not-set" and AT_CORP in message


def test_a_user_that_there_is_not_is_a_problem_for_root_too(server):
    wanted, machine = server
    message, hint, code = look.look_at({**wanted, "user": "nobody-at-all"}, {**machine, "root": True})["problem"]
    assert code == "no-user" and "nobody-at-all" in message and hint
