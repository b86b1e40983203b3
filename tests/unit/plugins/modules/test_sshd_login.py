"""What a login that fails is said to mean; tests/machine tries real ones."""

from __future__ import annotations

import pytest

from plugins.modules import sshd_login as login


@pytest.mark.parametrize(
    ("said", "words", "advice"),
    [
        # As OpenSSH 9.2 and PAM of Debian 12 say it.
        ("Authentication refused: bad ownership or modes for directory /srv/x", "others may write to /srv/x", "/srv/x"),
        ("User ada not allowed because shell /nope does not exist", "/nope, does not exist", "usermod"),
        ("This account is currently not available.", "The shell of ada lets nobody in", "usermod"),
        ("WARNING: Your password has expired.\nPassword change required but no TTY available.", "has expired", "chage"),
        ("Failed publickey for ada\nAccess denied for user ada by PAM account configuration", "PAM", "nologin"),
        ("User ada from 127.0.0.1 not allowed because not listed in AllowUsers", "not listed in Allow", "sshd_user"),
        ("User ada not allowed because account is locked", "account is locked", "sshd_user"),
        ("Accepted publickey for ada from 127.0.0.1 port 4\nReceived disconnect", "runs no command", "ssh"),
        ("The login did not end within 30 s", "last words were: The login did not end within 30 s.", "ssh -v"),
        ("", "The SSH server runs, but ada could not log in.", "ssh -v"),
    ],
)  # fmt: skip
def test_what_keeps_a_user_out_is_one_sentence_and_what_to_do(said, words, advice):
    message, hint = login.explain(said.splitlines(), "ada")
    assert words in message and message.endswith(".") and advice in hint and "{" not in message + hint
