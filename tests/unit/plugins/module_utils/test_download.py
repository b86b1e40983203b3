"""Downloads that come to an end, whatever a server does."""

import fcntl
import io
import os
import stat
import threading
import time
from urllib.request import Request

import pytest

from plugins.module_utils.provision import download as downloads

from ..servers import CONTENT, SUM, Server, mute

# How long something is waited for, in the cases that are about it; a busy machine may take its time for the rest.
LIMITS = {"trickle": ("SECONDS_SLOW", 0.5), "slow_headers": ("SECONDS_ANSWER", 1), "mute": ("SECONDS_SILENT", 0.5)}


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(downloads, "SECONDS_ANSWER", 1)


def refused(source, path, sha256=SUM, **limits):
    """Return the error of a download that must fail, soon, and leave nothing."""
    start = time.monotonic()
    with pytest.raises(downloads.DownloadError) as caught:
        downloads.fetch(source, str(path / "got"), sha256, **limits)
    assert time.monotonic() - start < 5
    assert os.listdir(path) == []
    assert caught.value.message.endswith(".") and "\n" not in caught.value.message and caught.value.hint
    return caught.value


@pytest.mark.parametrize("what", ["good", "unsized", "moved"])
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_file_is_there_whole_and_for_everybody_to_read(server, tmp_path, what, umask):
    before, told, path = os.umask(umask), [], str(tmp_path / "new/got")
    try:
        assert downloads.fetch(f"{server}/{what}", path, SUM.upper(), lambda *done: told.append(done))
    finally:
        os.umask(before)
    assert (tmp_path / "new/got").read_bytes() == CONTENT and told[-1] == (len(CONTENT),) * 2
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "new/got")] == [0o755, 0o644]


def test_what_is_there_already_is_not_downloaded_again(tmp_path):
    (tmp_path / "got").write_bytes(CONTENT)
    assert not downloads.fetch("http://127.0.0.1:9/gone", str(tmp_path / "got"), SUM)


def test_another_file_there_is_replaced_only_by_the_right_one(server, tmp_path):
    (tmp_path / "got").write_bytes(b"old")
    with pytest.raises(downloads.DownloadError):
        downloads.fetch(f"{server}/lost", str(tmp_path / "got"), SUM)
    assert (tmp_path / "got").read_bytes() == b"old"
    assert downloads.fetch(f"{server}/good", str(tmp_path / "got"), SUM)
    assert (tmp_path / "got").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("page", "web-page"), ("cut", "cut-off"), ("huge", "too-large"), ("endless", "too-large"),
        ("lost", "http-error"), ("round", "bad-redirect"),
        ("file", "bad-redirect"), ("ftp", "bad-redirect"), ("data", "bad-redirect"),
        ("trickle", "too-slow"), ("slow_headers", "unreachable"), ("mute", "unreachable"),
    ],
)  # fmt: skip
def test_a_server_that_misbehaves_is_an_error_and_soon(server, tmp_path, monkeypatch, what, code):
    if what in LIMITS:
        monkeypatch.setattr(downloads, *LIMITS[what])
    assert refused(f"{server}/{what}", tmp_path, largest=10_000_000).code == code


def test_another_file_than_the_one_wanted_is_refused(server, tmp_path):
    error = refused(f"{server}/good?key=sesame", tmp_path, "0" * 64)
    assert error.code == "wrong-checksum" and SUM in error.message and "sesame" not in error.message


def test_a_mute_proxy_is_not_waited_for(tmp_path, impatient, monkeypatch):
    with mute() as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        assert refused("https://example.org/x", tmp_path).code == "unreachable"


def test_a_name_server_that_does_not_answer_is_not_waited_for_and_named(tmp_path, impatient, monkeypatch):
    over = threading.Event()

    def look_up(*_, **__):
        over.wait()
        raise OSError

    monkeypatch.setattr(downloads.socket, "getaddrinfo", look_up)
    error = refused("http://build.example.org/x", tmp_path)
    over.set()
    assert error.code == "unreachable" and " build.example.org" in error.message


@pytest.mark.parametrize(("hashed", "taken"), [(True, True), (False, False)])
def test_encryption_is_given_up_only_for_what_is_known_by_its_hash(hashed, taken):
    redirects = downloads._Redirects(hashed)

    def follow(old, new):
        return redirects.redirect_request(Request(old), io.BytesIO(), 302, "Found", {}, new)

    assert follow("http://a/x", "https://b/x") and follow("https://a/x", "https://b/x")
    if taken:
        assert follow("https://a/x", "http://b/x")
    else:
        with pytest.raises(downloads.DownloadError) as caught:
            follow("https://a/x", "http://b/x")
        assert caught.value.code == "not-encrypted" and "http://b/x" in caught.value.message


def test_a_file_of_this_machine_is_copied(tmp_path):
    (tmp_path / "a b").write_bytes(CONTENT)
    for number, source in enumerate((str(tmp_path / "a b"), f"file://{tmp_path}/a%20b")):
        assert downloads.fetch(source, str(tmp_path / f"{number}"), SUM)
        assert (tmp_path / f"{number}").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (None, "no-file"),
        (os.mkdir, "not-a-file"),
        (os.mkfifo, "not-a-file"),
        (lambda path: os.symlink("/dev/zero", path), "not-a-file"),
    ],
)
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, make, code):
    (tmp_path / "to").mkdir()
    if make:
        make(tmp_path / "source")
    error = refused(str(tmp_path / "source"), tmp_path / "to")
    assert error.code == code and str(tmp_path / "source") in error.message


@pytest.mark.parametrize("source", ["ftp://host/a", "http://me:sesame@host/a", "data://x", "javascript://x"])
def test_a_url_that_cannot_be_fetched_is_refused(tmp_path, source):
    error = refused(source, tmp_path)
    assert error.code == "bad-url" and "sesame" not in error.message


def test_a_full_disk_leaves_nothing(server, tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(downloads.os, "fsync", full)
    with pytest.raises(OSError) as caught:
        downloads.fetch(f"{server}/good", str(tmp_path / "got"), SUM)
    assert caught.value.errno == 28
    assert os.listdir(tmp_path) == []


@pytest.fixture
def asked():
    Server.asked.clear()
    return Server.asked


def test_a_lost_connection_is_continued_from_where_it_broke(server, tmp_path, asked):
    path, told = str(tmp_path / "got"), []
    assert downloads.fetch_resumed(f"{server}/ranged", path, SUM, lambda done, _total: told.append(done))
    assert asked == [0, 100_001, 200_002] and told[-1] == len(CONTENT)
    assert os.listdir(tmp_path) == ["got"] and (tmp_path / "got").read_bytes() == CONTENT


def test_the_next_run_continues_where_a_killed_one_stopped(server, tmp_path, asked):
    (tmp_path / "got.part").write_bytes(CONTENT[:250_000])
    downloads.fetch_resumed(f"{server}/ranged", str(tmp_path / "got"), SUM)
    assert asked == [250_000] and (tmp_path / "got").read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"x" * 250_000, CONTENT + b"x", b"x" * len(CONTENT)], ids=["other", "longer", "full"])
def test_a_part_of_something_else_is_downloaded_anew(server, tmp_path, part):
    (tmp_path / "got.part").write_bytes(part)
    downloads.fetch_resumed(f"{server}/ranged", str(tmp_path / "got"), SUM)
    assert (tmp_path / "got").read_bytes() == CONTENT and os.listdir(tmp_path) == ["got"]


def test_a_server_that_knows_only_whole_files_is_used_all_the_same(server, tmp_path):
    (tmp_path / "got.part").write_bytes(CONTENT[:1000])
    downloads.fetch_resumed(f"{server}/good", str(tmp_path / "got"), SUM)
    assert (tmp_path / "got").read_bytes() == CONTENT


@pytest.mark.parametrize("what, code", [("lost", "http-error"), ("page", "web-page"), ("data", "bad-redirect")])
def test_what_is_no_download_leaves_nothing_to_continue(server, tmp_path, what, code):
    with pytest.raises(downloads.DownloadError) as caught:
        downloads.fetch_resumed(f"{server}/{what}", str(tmp_path / "got"), SUM)
    assert caught.value.code == code and os.listdir(tmp_path) == []


def test_what_has_arrived_stays_if_the_server_fails(server, tmp_path):
    (tmp_path / "got.part").write_bytes(CONTENT[:1000])
    with pytest.raises(downloads.DownloadError):
        downloads.fetch_resumed(f"{server}/lost", str(tmp_path / "got"), SUM)
    assert (tmp_path / "got.part").read_bytes() == CONTENT[:1000]


def test_a_wrong_file_is_not_continued(server, tmp_path):
    with pytest.raises(downloads.DownloadError) as caught:
        downloads.fetch_resumed(f"{server}/good", str(tmp_path / "got"), "0" * 64)
    assert caught.value.code == "wrong-checksum" and os.listdir(tmp_path) == []


def test_a_part_that_another_run_is_filling_is_left_to_it(server, tmp_path):
    with open(tmp_path / "got.part", "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(b"theirs")
        other.flush()
        assert downloads.fetch_resumed(f"{server}/good", str(tmp_path / "got"), SUM)
    assert (tmp_path / "got").read_bytes() == CONTENT and (tmp_path / "got.part").read_bytes() == b"theirs"
