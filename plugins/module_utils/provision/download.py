"""Downloading with limits on time, speed, size and redirects, with the standard library only."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import socket
import ssl
import stat
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from .failures import Problem
from .files import make_folder, set_mode
from .reading import sha256_of

SECONDS_ANSWER = 60  # for name lookup, connecting (also through a proxy) and the start of the answer
SECONDS_SILENT = 30
SECONDS_SLOW, BYTES_SLOW = 60, 60_000  # a minute with fewer bytes ends the download
LARGEST = 8 << 30
_TRIES = 5  # of a download that makes progress each time
_PASSING = ("cut-off", "too-slow", "unreachable")  # failures that another try may not meet
_WRONG = ("no-range", "too-large", "web-page", "wrong-checksum")  # what has arrived is not a part of the file
_BLOCK = 1 << 18
_SCHEMES = ("http", "https")


class DownloadError(Problem):
    """A download that failed."""


def shown(url):
    """Return a URL to show: without its query, which may hold the key of a signed link, and without a password."""
    start, separator, rest = url.partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return start + separator + host.rpartition("@")[2] + slash + path


def local_path(source):
    """Return the path that a source names, None for a server's URL; DownloadError for unsupported URLs."""
    scheme, separator, rest = source.partition("://")
    if not separator:
        return source
    if scheme.lower() not in (*_SCHEMES, "file"):
        raise DownloadError(
            f"{scheme}:// is not supported.",
            "Give a path, or a URL that starts with https, http or file.",
            code="bad-url",
        )
    # urllib would treat them as part of the host name, and show them in its errors.
    if "@" in rest.partition("/")[0]:
        raise DownloadError(
            "A URL that contains a user name is not supported.",
            "Download the file by other means and give its path.", code="bad-url",
        )  # fmt: skip
    return request.url2pathname("/" + rest.partition("/")[2]) if scheme.lower() == "file" else None


class _Redirects(request.HTTPRedirectHandler):
    """Follows redirects to servers only, and to unencrypted ones only if the file's hash is known."""

    def __init__(self, hashed):
        self._hashed = hashed

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        new = urlsplit(newurl).scheme.lower()
        if new not in _SCHEMES or (new == "http" and not self._hashed):
            why, code = ("encrypted", "not-encrypted") if new == "http" else ("allowed", "bad-redirect")
            raise DownloadError(
                f"{shown(req.full_url)} redirects to {shown(newurl)}, which is not {why}.",
                "Give the URL of the file itself.", code=code,
            )  # fmt: skip
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(hashed):
    """Return an opener for http and https URLs only, which uses the proxies of the environment."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(), request.HTTPHandler(), request.HTTPSHandler(), request.HTTPDefaultErrorHandler(),
        _Redirects(hashed), request.HTTPErrorProcessor(),
    ):  # fmt: skip
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", "provision"), ("Accept", "*/*")]
    return opener


def _answer(url, hashed, start):
    """Return a server's answer, from byte `start` on if it can; raise DownloadError if there is none in time."""
    done, found, waited = threading.Event(), [], [f"looking up {urlsplit(url).hostname}"]
    asked = request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})

    def work():
        # In a thread that is abandoned after the time limit: nothing else ends a name lookup.
        try:
            parts = urlsplit(url)
            if not request.getproxies().get(parts.scheme.lower()) or request.proxy_bypass(parts.netloc):
                socket.getaddrinfo(parts.hostname, parts.port or parts.scheme, type=socket.SOCK_STREAM)
            waited[0] = "waiting for its answer"
            found.append(_opener(hashed).open(asked, timeout=SECONDS_SILENT))
        except Exception as error:
            found.append(error)
        if done.is_set() and not isinstance(found[0], Exception):
            found[0].close()  # nobody is waiting for it any more
        done.set()

    threading.Thread(target=work, daemon=True).start()
    if not done.wait(SECONDS_ANSWER):
        done.set()
        raise DownloadError(
            f"{shown(url)} could not be reached: timed out after {SECONDS_ANSWER} s {waited[0]}.",
            "Check the URL, the network and the proxy, then run it again.", code="unreachable",
        )  # fmt: skip
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


@contextmanager
def _reaching(url):
    """Turn a server's errors into one sentence; errors of the disk are handled elsewhere."""
    try:
        yield
    except HTTPError as error:
        error.close()
        code = "bad-redirect" if 300 <= error.code < 400 else "no-range" if error.code == 416 else "http-error"
        answered = " ".join(f"{error.code} {error.reason or ''}".split())
        raise DownloadError(
            f"{shown(url)} could not be downloaded: the server replied {answered}.", "Check the URL.", code=code
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            reason = f"its certificate is not trusted ({reason.verify_message})"
        elif isinstance(reason, http.client.IncompleteRead):
            reason = "the connection was lost"
        reason = getattr(reason, "strerror", None) or reason or type(reason).__name__
        raise DownloadError(
            f"{shown(url)} could not be reached: {reason}.",
            "Check the URL and the network, then run it again.", code="unreachable",
        ) from error  # fmt: skip


class Download:
    """A server's answer, read like a file within limits; a lost connection does not pass for its end."""

    def __init__(self, url, answer, largest, start=0):
        self._url, self._answer, self._largest = url, answer, largest
        # A server may ignore the wish for the rest only, and send the whole file.
        partial = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        self.start = start if partial else 0
        self.size = self.start + answer.length if answer.length else 0
        self._done, self._since = self.start, (time.monotonic(), self.start)
        self._check_size(self.size)

    def read(self, size):
        """Return the next bytes, at most `size`, none at the end; raise DownloadError."""
        with _reaching(self._url):
            data = self._answer.read1(size)
        self._done += len(data)
        self._check_size(self._done)
        if not data and self._done < self.size:
            raise DownloadError(
                f"The download of {shown(self._url)} stopped after {self._done} of {self.size} bytes.",
                "Run it again.",
                code="cut-off",
            )
        self._check_speed()
        return data

    def _check_size(self, size):
        if size > self._largest:
            raise DownloadError(
                f"{shown(self._url)} is larger than {self._largest} bytes.", "Check the URL.", code="too-large"
            )

    def _check_speed(self):
        now, (since, done) = time.monotonic(), self._since
        if now - since < SECONDS_SLOW:
            return
        if self._done - done < BYTES_SLOW:
            raise DownloadError(
                f"{shown(self._url)} is too slow: {self._done - done} bytes arrived in {round(now - since)} seconds.",
                "Run it again later, or download from another server.",
                code="too-slow",
            )
        self._since = (now, self._done)


@contextmanager
def opened(url, hashed=True, largest=LARGEST, start=0):
    """Yield the content of an http or https URL, to be read like a file, once its server has answered."""
    # A file whose hash is known may come from anywhere.
    with _reaching(url):
        answer = _answer(url, hashed, start)
    with answer:
        yield Download(url, answer, largest, start)


def source_opened(source, largest=LARGEST, start=0):
    """Return a context that yields the content of a URL or of a local file."""
    local = local_path(source)
    return opened(source, largest=largest, start=start) if local is None else _local(local)


def fetch(source, path, sha256, tell=lambda *_: None, largest=LARGEST):
    """Download a file to a path, complete and with the given SHA-256 or not at all; return whether it was new."""
    if os.path.isfile(path) and sha256_of(path) == sha256.lower():
        return False
    make_folder(os.path.dirname(path))
    handle, new = tempfile.mkstemp(prefix=".new-", dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "wb") as file, source_opened(source, largest) as given:
            found = _copied(given, file, source, tell, hashlib.sha256())
            _check_digest(source, found, sha256)
            _finish(file)
        os.replace(new, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(new)
        raise
    return True


def fetch_resumed(source, path, sha256, tell=lambda *_: None, largest=LARGEST):
    """Download as `fetch` does, but keep what has arrived beside the path, and continue from there after a failure."""
    if sha256_of(path) == sha256.lower():
        return False
    make_folder(os.path.dirname(path))
    part = path + ".part"
    with open(part, "ab+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.path.samestat(os.fstat(file.fileno()), os.stat(part))
        except OSError:
            ours = False
        if not ours:  # another run is downloading it, or has just done so
            return fetch(source, path, sha256, tell, largest)
        try:
            _arrive(source, file, sha256, tell, largest)
            _finish(file)
            os.replace(part, path)
        except BaseException:
            if not file.seek(0, os.SEEK_END):
                os.unlink(part)
            raise
    return True


def _arrive(source, file, sha256, tell, largest):
    """Download the missing rest of a file; raise DownloadError if it cannot be completed."""
    for number in range(_TRIES):
        before = file.seek(0, os.SEEK_END)
        try:
            found = _rest(source, file, tell, largest)
            _check_digest(source, found, sha256)
            return
        except DownloadError as error:
            if error.code in _WRONG:
                file.truncate(0)
                again = before > 0
            else:
                again = error.code in _PASSING and file.seek(0, os.SEEK_END) > before
            if not again or number + 1 == _TRIES:
                raise


def _rest(source, file, tell, largest):
    """Append the rest of a source to the part of it in a file; return the SHA-256 of the whole."""
    found, have = hashlib.sha256(), file.seek(0, os.SEEK_END)
    with source_opened(source, largest, have) as given:
        if given.start == have:
            file.seek(0)
            for data in iter(lambda: file.read(_BLOCK), b""):
                found.update(data)
        else:
            file.truncate(0)
        return _copied(given, file, source, tell, found, given.start)


def _copied(given, file, source, tell, found, done=0):
    """Copy a source to the end of a file, of which `done` bytes are there; return the SHA-256 of the whole."""
    for data in iter(lambda: given.read(_BLOCK), b""):
        if not done and data[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
            raise DownloadError(
                f"{shown(source)} is a web page, not the file.",
                "Give the URL of the file itself.",
                code="web-page",
            )
        found.update(data)
        file.write(data)
        done += len(data)
        tell(done, given.size or done)
    return found.hexdigest()


def _check_digest(source, found, sha256):
    if found != sha256.lower():
        raise DownloadError(
            f"{shown(source)} is not the expected file: its SHA-256 is {found}, not {sha256}.",
            "Check the SHA-256, or make or download the file again.", code="wrong-checksum",
        )  # fmt: skip


def _finish(file):
    file.flush()
    os.fsync(file.fileno())
    set_mode(file.fileno(), 0o644)


@contextmanager
def _local(path):
    """Yield a local file, to be read, with its size."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DownloadError(f"{path} cannot be read: {error.strerror}.", "Check the path.", code="no-file") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DownloadError(f"{path} is not a file.", "Check the path.", code="not-a-file")
    with open(descriptor, "rb") as file:
        yield SimpleNamespace(read=file.read, size=os.fstat(file.fileno()).st_size, start=0)
