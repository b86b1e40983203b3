"""What a login that fails is said to mean; tests/machine tries real ones."""

from __future__ import annotations

import pytest

from plugins.modules import sshd_login as login


@pytest.mark.parametrize(
    ("said", "code", "value", "advice"),
    [
        # As OpenSSH 9.2 and PAM of Debian 12 say it.
        ("Authentication refused: bad ownership or modes for directory /srv/x",
         "unsafe-modes", "/srv/x", "chmod go-w /srv/x"),
        ("User ada not allowed because shell /nope does not exist", "no-shell", "/nope", "usermod --shell"),
        ("This account is currently not available.", "no-shell", "ada", "usermod --shell"),
        ("WARNING: Your password has expired.\nPassword change required but no TTY available.",
         "password-expired", "ada", "chage --lastday -1 ada"),
        ("Failed publickey for ada\nAccess denied for user ada by PAM account configuration",
         "login-refused", "PAM", "/etc/nologin"),
        ("User ada from 127.0.0.1 not allowed because not listed in AllowUsers",
         "login-refused", "AllowUsers", "sshd_user"),
        ("User ada not allowed because account is locked", "login-refused", "account is locked", "sshd_user"),
        ("Accepted publickey for ada from 127.0.0.1 port 4\nReceived disconnect", "no-shell", "ada", "sshd_user"),
        ("The login did not end within 30 s", "login-refused", "The login did not end within 30 s.", "ssh -v"),
        ("", "login-refused", "ada", "ssh -v"),
    ],
)  # fmt: skip
def test_what_keeps_a_user_out_is_one_sentence_and_what_to_do(said, code, value, advice):
    message, hint, kind = login.explain(said.splitlines(), "ada")
    assert kind == code and value in message and message.endswith(".") and advice in hint and "{" not in message + hint
