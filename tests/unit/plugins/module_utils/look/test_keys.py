"""What becomes of keys as people give them: with a wrong one they are refused, and never taken for none."""

from __future__ import annotations

import os
import subprocess

import pytest

from plugins.module_utils.provision.look import keys as keys

from .public_keys import KEY, OTHER, RSA, line_of

NAME = "sshd_authorized_keys"
SK = line_of("sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:")


def read(text, folder):
    """Write a file and return the keys in it."""
    path = folder / "given.pub"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return keys.authorized_keys([str(path)], "")


@pytest.mark.parametrize(
    "line",
    [
        KEY,
        f"{KEY} me@home",
        f"{KEY} a comment, with ünïcode # and \u2028",
        f"{KEY}\tafter a tab",
        RSA,
        SK,
        line_of("ecdsa-sha2-nistp521", b"nistp521", b"\4" + bytes(132)),
        line_of("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", b"\4" + bytes(64), b"ssh:"),
        f'restrict,command="echo \\"a b\\", c" {KEY}',
        f'from="10.0.0.0/8,127.0.0.1",no-pty\t{KEY}',
        f'environment="A=1",environment="B=2" {KEY}',
        f"cert-authority,X11-FORWARDING {KEY}",
        f'command="ssh-rsa AAAA" {KEY}',
    ],
)
def test_a_line_that_sshd_reads_is_taken_as_it_is(tmp_path, line):
    assert read(line, tmp_path) == [line]
    assert keys.authorized_keys([line], "") == [line]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"# keys of the lab\n{KEY} me@home\n", [f"{KEY} me@home"]),
        (f"\n  # indented\n\t{KEY}\n\n{OTHER}\n{KEY}", [KEY, OTHER]),
        (f"{KEY}\r\n{OTHER}\r\n", [KEY, OTHER]),
        (f"\ufeff{KEY}\n", [KEY]),
        (f"{KEY}\r\n".encode("utf-16"), [KEY]),
        (KEY.encode() + b" caf\xe9\n", [f"{KEY} caf\ufffd"]),
    ],
    ids=["comment first", "blanks", "DOS", "byte-order mark", "UTF-16", "Latin-1 in a comment"],
)
def test_a_file_is_read_line_by_line_as_sshd_does(tmp_path, text, expected):
    assert read(text, tmp_path) == expected


@pytest.mark.parametrize(
    ("text", "code", "value"),
    [
        ("", "no-key", "{}"),
        ("\n\n", "no-key", "{}"),
        (f"# {KEY}\n", "no-key", "{}"),
        (KEY[:-8], "bad-key", "line 1 of {}"),
        (f"{KEY}\n{OTHER[:40]}\n{OTHER[40:]}", "bad-key", "line 2 of {}"),
        (KEY.replace("ssh-ed25519", "ssh-rsa"), "bad-key", ""),
        (KEY.replace(" ", "\u00a0"), "bad-key", ""),
        (KEY.replace("AAAAI", "AA!AI"), "bad-key", ""),
        ("ssh-ed25519", "bad-key", ""),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "bad-key", ""),
        (line_of("ssh-ed25519", bytes(31)), "bad-key", ""),
        (line_of("ssh-rsa", b"\1\0\1", b"\1" * 64), "bad-key", ""),
        (line_of("ssh-new", bytes(32)), "bad-key", ""),
        ("AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f", "bad-key", ""),
        (line_of("ssh-dss", *[b"\1" * 128] * 4), "key-kind", "ssh-keygen -t ed25519"),
        (line_of("ssh-ed25519-cert-v01@openssh.com", bytes(32), bytes(32)), "key-kind", "cert-authority"),
        (f"gw.example.org,192.0.2.7 {KEY}", "key-kind", ".pub file"),
        (f"[gw]:2200 {KEY}", "key-kind", ".pub file"),
        (f"|1|a=|b= {KEY}", "key-kind", ".pub file"),
        (f"moonlight {KEY}", "key-options", ""),
        (f"command=echo {KEY}", "key-options", ""),
        (f'command="echo {KEY}', "key-options", ""),
        (f'pty, command="x" {KEY}', "key-options", ""),
        (f"{KEY} a,{OTHER}", "several-keys", ""),
        (f"{KEY} a\r{OTHER}", "bad-key", ""),
        (f"{KEY}\x0b", "bad-key", ""),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "private-key", ""),
        (f"{KEY}\n-----BEGIN RSA PRIVATE KEY-----\n", "private-key", ""),
        ("PuTTY-User-Key-File-3: ssh-ed25519\n", "private-key", ""),
        (
            f'---- BEGIN SSH2 PUBLIC KEY ----\nComment: "x"\n{KEY.split()[1]}\n---- END SSH2 PUBLIC KEY ----\n',
            "key-form",
            "ssh-keygen -i -f",
        ),
        ("-----BEGIN PUBLIC KEY-----\nMII\n", "key-form", "ssh-keygen -i -m PKCS8 -f"),
        ("-----BEGIN RSA PUBLIC KEY-----\nMII\n", "key-form", "ssh-keygen -i -m PEM -f"),
        (KEY.encode("utf-16-le"), "not-text", "{}"),
        (b"\x7fELF\0\0", "not-text", "{}"),
        ("x" * 2_000_000, "too-large", "{}"),
        ("<html>Sign in</html>\n", "bad-key", ""),
    ],
)
def test_a_file_without_a_key_that_lets_in_is_refused_and_says_why(tmp_path, text, code, value):
    with pytest.raises(keys.Wrong) as refused:
        read(text, tmp_path)
    message, hint, kind = refused.value.args
    assert kind == code and value.format(tmp_path / "given.pub") in f"{message} {hint}"
    assert hint and "\n" not in message + hint
    assert "AAAA" not in message and "MII" not in message


@pytest.mark.needs("ssh-keygen")
def test_what_is_said_of_putty_s_form_is_true(tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key"], cwd=tmp_path, check=True)
    for form, options in (("RFC4716", ["-i"]), ("PKCS8", ["-i", "-m", "PKCS8"])):
        done = subprocess.run(["ssh-keygen", "-e", "-m", form, "-f", "key.pub"], cwd=tmp_path, capture_output=True)
        (tmp_path / "theirs").write_bytes(done.stdout)
        if done.returncode:  # PKCS8 has no form for this kind in older versions
            continue
        with pytest.raises(keys.Wrong) as refused:
            keys.authorized_keys([str(tmp_path / "theirs")], "")
        assert f"ssh-keygen {' '.join(options)} -f" in refused.value.args[1]
    again = subprocess.run(["ssh-keygen", "-i", "-f", "theirs"], cwd=tmp_path, capture_output=True, text=True)
    if again.returncode == 0:
        assert keys.authorized_keys([again.stdout], "") == [again.stdout.strip()]


@pytest.mark.parametrize(
    "given",
    [
        "", " ", None, [""], [None], [[]], [KEY, ""], [KEY, None], {}, 5, [5], "# a comment", "/not/there.pub",
        "~/none.pub", "a.pub,b.pub", ["/"], "/dev/zero", "x" * 5000, "a\0b", "\ud800", "https://example.org/jane.keys",
        "[]",
    ],
)  # fmt: skip
def test_a_key_that_was_lost_is_never_taken_for_no_key(given, tmp_path):
    with pytest.raises(keys.Wrong) as refused:
        keys.authorized_keys(given, str(tmp_path))
    message, hint, _code = refused.value.args
    assert message.startswith(NAME) and hint and "\n" not in message and len(message) < 400


def test_no_key_was_asked_for_where_the_list_is_empty():
    assert keys.authorized_keys([], "/") == []


def test_an_unreadable_file_is_told_as_that(tmp_path):
    (tmp_path / "a.pub").symlink_to("a.pub")
    os.mkfifo(tmp_path / "b.pub")
    for name, code in (("a.pub", "no-file"), ("b.pub", "not-a-file")):
        with pytest.raises(keys.Wrong) as refused:
            keys.authorized_keys([name], str(tmp_path))
        message, _hint, kind = refused.value.args
        assert kind == code and str(tmp_path / name) in message


def test_paths_are_from_the_folder_of_who_asked_or_their_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home/a.pub").write_text(KEY)
    (tmp_path / "b, c.pub").write_text(OTHER)
    assert keys.authorized_keys(["~/a.pub", "b, c.pub"], str(tmp_path)) == [KEY, OTHER]
    assert keys.authorized_keys("b, c.pub", str(tmp_path)) == [OTHER]
    assert keys.authorized_keys("~/a.pub,~/a.pub", str(tmp_path)) == [KEY]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", True),
        ("no-pty ", True),
        ('expiry-time="20200101" ', False),
        ('expiry-time="29990101" ', True),
        ('expiry-time="20260102Z" ', True),
        ('expiry-time="202601010000Z" ', False),
        ('expiry-time="20260101000001Z" ', True),
        ('expiry-time="soon" ', False),
        ('restrict,Expiry-Time="20200101" ', False),
        ('from="127.0.0.1" ', True),
        ('from="127.*" ', True),
        ('from="127.0.0.0/8" ', True),
        ('from="*" ', True),
        ('from="192.0.2.0/24" ', False),
        ('from="localhost" ', False),
        ('from="!127.0.0.1,*" ', False),
        ('from="192.0.2.1,127.0.0.?" ', True),
        ('command="a,from=\\"192.0.2.1\\"" ', True),
    ],
)
def test_it_is_known_whether_a_key_still_opens_and_from_where(options, expected):
    assert keys.opens(f"{options}{KEY}", ["127.0.0.1"], now=1767225600) is expected  # 2026-01-01 00:00 UTC


def test_from_anywhere_every_key_may_open():
    assert keys.opens(f'from="192.0.2.0/24" {KEY}', [])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (KEY, "bad-key"),
        ("PuTTY-User-Key-File-3: x", "key-form"),
        ("", "bad-key"),
        ("-----BEGIN PRIVATE KEY-----\n\u00e9", "bad-key"),
    ],
)
def test_what_is_no_private_key_is_refused_without_being_shown(tmp_path, text, code):
    (tmp_path / "key").write_text(text)
    with pytest.raises(keys.Wrong) as refused:
        keys.private_key("key", str(tmp_path), "reverse_ssh_identity")
    assert refused.value.args[-1] == code and "AAAA" not in "".join(refused.value.args)


def test_a_private_key_given_as_text_is_not_shown():
    with pytest.raises(keys.Wrong) as refused:
        keys.private_key("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n", "/", "reverse_ssh_identity")
    assert refused.value.args[-1] == "private-key" and "b3Blb" not in "".join(refused.value.args)


def test_known_hosts_are_lines_or_a_file_of_them(tmp_path):
    line = f"gw.example.org {KEY}"
    (tmp_path / "hosts").write_bytes(f"\ufeff{line}\r\n".encode())
    assert keys.known_hosts("hosts", str(tmp_path), "x").split() == line.split()
    assert keys.known_hosts(f"# gw\n{line}", "", "x").endswith(line)
    assert keys.known_hosts(" ", "", "x") == ""
    for lost in ("none", "/", "x" * 300):
        with pytest.raises(keys.Wrong):
            keys.known_hosts(lost, str(tmp_path), "reverse_ssh_known_hosts")
