"""Giving files to other machines over HTTP, for as long as they take them, and taking an archive from there."""

# What arrives is checked by its SHA-256, which travels with Ansible. The address has a secret part, so that only those
# who were given it read the files.

from __future__ import annotations

import hmac
import os
import re
import secrets
import signal
import socket
import socketserver
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler

from ..alive import alive, answers, process
from ..download import DownloadError, fetch
from ..reading import sha256_of
from .errors import StoreError
from .pack import adopt

SECONDS_IDLE = 120  # after which the server ends by itself: whoever started it may have been killed
SECONDS_ANSWER = 3
_NOBODY = 65534


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, listener, files, secret):
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket, self.files, self.path = listener, files, f"/{secret}"
        self.timeout, self.busy_until = 1, time.monotonic() + SECONDS_IDLE

    def work(self):
        """Answer until nobody has asked for a while."""
        while time.monotonic() < self.busy_until:
            self.handle_request()

    def handle_error(self, request, client_address):
        """Say nothing: the client has gone."""


class _Handler(BaseHTTPRequestHandler):
    timeout = 30

    def do_GET(self):
        """Send a file to whoever knows its address."""
        begin, name = self.path[: len(self.server.path)], self.path[len(self.server.path) :]
        file = self.server.files.get(name)
        if not hmac.compare_digest(begin.encode(), self.server.path.encode()) or file is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(os.fstat(file).st_size))
        self.end_headers()
        done = 0
        while piece := os.pread(file, 1 << 20, done):
            done += self.wfile.write(piece)
            self.server.busy_until = time.monotonic() + SECONDS_IDLE

    def log_message(self, format, *words):
        """Log nothing."""


def offer(path, names=None):
    """Start to serve a file; return ``pid``, ``start``, ``port``, ``secret`` and this machine's ``addresses``.

    With names, the path is a folder, and its files of these names are served below the address of the secret.
    """
    secret, files = secrets.token_hex(16), {}
    paths = {"": path} if names is None else {f"/{name}": os.path.join(path, name) for name in names}
    try:
        for name, each in paths.items():
            files[name] = os.open(each, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with _listener() as listener:
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                _serve(listener, files, secret, writing)
            os.close(writing)
            with open(reading, encoding="ascii") as said:
                pid = said.readline().strip()
            os.waitpid(child, 0)
            port = listener.getsockname()[1]
    finally:
        for file in files.values():
            os.close(file)
    if not pid:
        raise StoreError(f"{path} could not be offered to other hosts: its server ended.", code="process-not-started")
    server = {"pid": int(pid), "start": process(pid)["start"]}
    return {**server, "port": port, "secret": secret, "addresses": _addresses()}


def _listener():
    if socket.has_dualstack_ipv6():
        with suppress(OSError):
            return socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    return socket.create_server(("", 0), backlog=64)


def _serve(listener, files, secret, writing):
    """Turn this fork into the server, in a session of its own and without root's rights; never return."""
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.chdir("/")
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        kept = {0, 1, 2, listener.fileno(), *files.values(), writing}
        for descriptor in map(int, os.listdir("/proc/self/fd")):
            if descriptor not in kept:
                with suppress(OSError):
                    os.close(descriptor)
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
        server = _Server(listener, files, secret)
        os.write(writing, f"{os.getpid()}\n".encode())
        os.close(writing)
        server.work()
    finally:
        os._exit(0)


def _addresses():
    """Return the addresses from which this machine reaches others."""
    found = []
    for family, other in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):  # RFC 5737 and 3849
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((other, 9))  # sends nothing
            found.append(asked.getsockname()[0])
    return found


def withdraw(pid, start):
    """End a server and wait until it has ended, unless its number belongs to another process by now."""
    end = time.monotonic() + SECONDS_ANSWER
    with suppress(ProcessLookupError):
        while alive(found := process(pid)) and found["start"] == start and time.monotonic() < end:
            os.kill(pid, signal.SIGTERM)
            time.sleep(0.02)


def take(offered, store, cache, tell=lambda *_: None):
    """Return (the path of the archive offered, where it came from, why it is not in the store); StoreError if nowhere.

    It comes from this machine's ``store``, if the host that offers it has the same one; from what was sent to
    ``cache``; or from that host. If a store is given, it is kept there, else in ``cache``.
    """
    sha256 = offered["sha256"]
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise StoreError(f"{offered['host']} offers an archive without a SHA-256.", code="usage")
    shared, path = os.path.join(store, os.path.basename(offered["name"])), os.path.join(cache, sha256)
    if store and sha256_of(shared) == sha256:
        return shared, "store", ""
    came = "controller" if sha256_of(path) == sha256 else _downloaded(offered, path, tell)
    if not store:
        return path, came, ""
    try:
        kept = adopt(path, store, sha256)["archive"]
    except StoreError as error:
        return path, came, f"{error.message} {error.hint}".strip()  # it can be installed all the same
    os.unlink(path)
    return kept, came, ""


def reached(offered):
    """Yield the URLs at which the other host answers."""
    for address in offered["addresses"]:
        if answers(address, offered["port"], seconds=SECONDS_ANSWER):
            host = f"[{address}]" if ":" in address else address
            yield f"http://{host}:{offered['port']}/{offered['secret']}"


def _downloaded(offered, path, tell):
    """Download the archive from the first address at which the other host answers; return "host"."""
    why = "it does not answer"
    for url in reached(offered):
        try:
            fetch(url, path, offered["sha256"], tell)
        except DownloadError as error:
            why = error.message.replace(offered["secret"], "...").rstrip(".")
        else:
            return "host"
    raise StoreError(f"The archive could not be taken from {offered['host']}: {why}.", code="unreachable")
