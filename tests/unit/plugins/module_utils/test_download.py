"""Downloads that come to an end, whatever a server does."""

import hashlib
import io
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request

import pytest

from plugins.module_utils.provision import download as downloads
from provision.engine import content

CONTENT = os.urandom(300_000)
SUM = hashlib.sha256(CONTENT).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Answers as the path asks for."""

    def do_GET(self):
        getattr(self, "on_" + self.path.strip("/").partition("?")[0])()

    def answer(self, *headers, code=200):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, str(value))
        self.end_headers()

    def on_good(self):
        self.answer(("Content-Length", len(CONTENT)))
        self.wfile.write(CONTENT)

    def on_unsized(self):
        self.answer()
        self.wfile.write(CONTENT)

    def on_page(self):
        self.answer(("Content-Type", "text/html"))
        self.wfile.write(b"\n<!DOCTYPE HTML><title>Sign in</title>")

    def on_cut(self):
        self.answer(("Content-Length", len(CONTENT) + 5))
        self.wfile.write(CONTENT)

    def on_huge(self):
        self.answer(("Content-Length", 1 << 50))

    def on_endless(self):
        self.answer()
        with_suppressed(lambda: self.wfile.write(bytes(1 << 16)))

    def on_trickle(self):
        self.answer(("Content-Length", 1_000_000))
        with_suppressed(lambda: (self.wfile.write(b"x"), time.sleep(0.02)))

    def on_slow_headers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        with_suppressed(lambda: (self.wfile.write(b"X: y\r\n"), time.sleep(0.05)))

    def on_mute(self):
        time.sleep(5)

    def on_lost(self):
        self.answer(code=404)

    def on_moved(self):
        self.answer(("Location", "/good"), code=302)

    def on_round(self):
        self.answer(("Location", "/round"), code=302)

    def on_file(self):
        self.answer(("Location", "file:///etc/passwd"), code=302)

    def on_ftp(self):
        self.answer(("Location", "ftp://127.0.0.1/x"), code=302)

    def on_data(self):
        self.answer(("Location", "data:text/plain,x"), code=302)

    def log_message(self, *_):
        pass


def with_suppressed(write, seconds=10):
    """Write again and again, until nobody reads it any more."""
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            write()
    except OSError:
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        running.daemon_threads = True
        running.block_on_close = False
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def impatient(monkeypatch):
    for name, value in (("SECONDS_ANSWER", 1), ("SECONDS_SILENT", 0.5), ("SECONDS_SLOW", 0.5)):
        monkeypatch.setattr(downloads, name, value)


@contextmanager
def mute():
    """Give the port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


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
def test_a_server_that_misbehaves_is_an_error_and_soon(server, tmp_path, impatient, what, code):
    assert refused(f"{server}/{what}", tmp_path, largest=10_000_000).code == code


def test_another_file_than_the_one_wanted_is_refused(server, tmp_path):
    error = refused(f"{server}/good?key=sesame", tmp_path, "0" * 64)
    assert error.code == "wrong-checksum" and SUM in error.message and "sesame" not in error.message


def test_a_mute_proxy_is_not_waited_for(tmp_path, impatient, monkeypatch):
    with mute() as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        assert refused("https://example.org/x", tmp_path).code == "unreachable"


def test_a_name_server_that_does_not_answer_is_not_waited_for_and_named(tmp_path, impatient, monkeypatch):
    monkeypatch.setattr(downloads.socket, "getaddrinfo", lambda *_, **__: time.sleep(4))
    error = refused("http://build.example.org/x", tmp_path)
    assert error.code == "unreachable" and "looking up build.example.org" in error.message


@pytest.mark.parametrize(("hashed", "taken"), [(True, True), (False, False)])
def test_encryption_is_given_up_only_for_what_is_known_by_its_hash(hashed, taken):
    redirects = downloads._Redirects(hashed)

    def follow(old, new):
        return redirects.redirect_request(Request(old), io.BytesIO(), 302, "Found", {}, new)

    assert follow("http://a/x", "https://b/x") and follow("https://a/x", "https://b/x")
    if taken:
        assert follow("https://a/x", "http://b/x")
    else:
        with pytest.raises(downloads.DownloadError, match="not followed"):
            follow("https://a/x", "http://b/x")


def test_an_interrupt_is_not_kept_waiting():
    code = f"""if True:
        import sys, threading, _thread
        sys.path.insert(0, {str(content.root())!r})
        from plugins.module_utils.provision import download as downloads
        print("ready", flush=True)
        with downloads.opened(sys.argv[1]): pass
    """
    with mute() as port:
        waiting = subprocess.Popen(
            [sys.executable, "-c", code, f"http://127.0.0.1:{port}/x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        waiting.stdout.readline()
        time.sleep(0.5)
        start = time.monotonic()
        waiting.send_signal(signal.SIGINT)
        waiting.communicate(timeout=20)
        assert time.monotonic() - start < 5


# --- Files of this machine --------------------------------------------------------------------------------------------


def test_a_file_of_this_machine_is_copied(tmp_path):
    (tmp_path / "a b").write_bytes(CONTENT)
    for number, source in enumerate((str(tmp_path / "a b"), f"file://{tmp_path}/a%20b")):
        assert downloads.fetch(source, str(tmp_path / f"{number}"), SUM)
        assert (tmp_path / f"{number}").read_bytes() == CONTENT


@pytest.mark.parametrize("make", [None, os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, make):
    (tmp_path / "to").mkdir()
    if make:
        make(tmp_path / "source")
    assert refused(str(tmp_path / "source"), tmp_path / "to").code == "no-file"


@pytest.mark.parametrize("source", ["ftp://host/a", "http://me:sesame@host/a", "data://x", "javascript://x"])
def test_a_url_that_cannot_be_fetched_is_refused(tmp_path, source):
    error = refused(source, tmp_path)
    assert error.code == "bad-url" and "sesame" not in error.message


def test_a_full_disk_leaves_nothing(server, tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(downloads.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        downloads.fetch(f"{server}/good", str(tmp_path / "got"), SUM)
    assert os.listdir(tmp_path) == []


# --- The module -------------------------------------------------------------------------------------------------------


def run_module(capsys, **given):
    testing = pytest.importorskip("ansible.module_utils.testing")
    from plugins.modules import checked_download

    with testing.patch_module_args(given), pytest.raises(SystemExit) as ended:
        checked_download.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


def test_the_module_tells_what_it_changed_and_what_went_wrong_by_a_code(server, tmp_path, capsys):
    given = {"source": f"{server}/good", "dest": str(tmp_path / "got"), "sha256": SUM}
    assert [run_module(capsys, **given)[1]["changed"] for _ in range(2)] == [True, False]
    ended, answer = run_module(capsys, **{**given, "sha256": "0" * 64})
    assert (ended, answer["code"]) == (1, "wrong-checksum") and answer["hint"]
