"""Servers that behave, or misbehave, as they are asked to."""

import hashlib
import os
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

CONTENT = os.urandom(300_000)
SUM = hashlib.sha256(CONTENT).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Answers as the path asks for."""

    asked: ClassVar[list[int]] = []  # the first bytes that were asked of `ranged`

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

    def on_ranged(self):
        """Send a third of what is asked for, which may be the rest only, then hang up."""
        start = int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
        self.asked.append(start)
        if start >= len(CONTENT):
            self.answer(code=416)
            return
        rest = ("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.answer(("Content-Length", len(CONTENT) - start), rest, code=206 if start else 200)
        self.wfile.write(CONTENT[start : start + len(CONTENT) // 3 + 1])

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
        time.sleep(60)

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


def with_suppressed(write, seconds=60):
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
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def mute():
    """Give the port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]
