"""Downloading with limits on time, speed, size and redirects, with the standard library only."""

from __future__ import annotations

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
        old, new = (urlsplit(url).scheme.lower() for url in (req.full_url, newurl))
        if new not in _SCHEMES or ((old, new) == ("https", "http") and not self._hashed):
            raise DownloadError(
                f"{shown(req.full_url)} redirects to {shown(newurl)}, which is not allowed.",
                "Give the URL of the file itself.", code="bad-redirect",
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


def _answer(url, hashed):
    """Return a server's answer; raise DownloadError if there is none in time."""
    done, found, waited = threading.Event(), [], [f"looking up {urlsplit(url).hostname}"]

    def work():
        # In a thread that is abandoned after the time limit: nothing else ends a name lookup.
        try:
            parts = urlsplit(url)
            if not request.getproxies().get(parts.scheme.lower()) or request.proxy_bypass(parts.netloc):
                socket.getaddrinfo(parts.hostname, parts.port or parts.scheme, type=socket.SOCK_STREAM)
            waited[0] = "waiting for its answer"
            found.append(_opener(hashed).open(url, timeout=SECONDS_SILENT))
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
        code = "bad-redirect" if 300 <= error.code < 400 else "http-error"
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

    def __init__(self, url, answer, largest):
        self._url, self._answer, self._largest = url, answer, largest
        self.size = answer.length or 0
        self._done, self._since = 0, (time.monotonic(), 0)
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
def opened(url, hashed=True, largest=LARGEST):
    """Yield the content of an http or https URL, to be read like a file, once its server has answered."""
    # A file whose hash is known may come from anywhere.
    with _reaching(url):
        answer = _answer(url, hashed)
    with answer:
        yield Download(url, answer, largest)


def fetch(source, path, sha256, tell=lambda *_: None, largest=LARGEST):
    """Download a file to a path, complete and with the given SHA-256 or not at all; return whether it was new."""
    if os.path.isfile(path) and sha256_of(path) == sha256.lower():
        return False
    local = local_path(source)
    make_folder(os.path.dirname(path))
    handle, new = tempfile.mkstemp(prefix=".new-", dir=os.path.dirname(path))
    try:
        given_by = opened(source, largest=largest) if local is None else _local(local)
        with os.fdopen(handle, "wb") as file, given_by as given:
            found = _copied(given, file, source, largest, tell)
            if found != sha256.lower():
                raise DownloadError(
                    f"{shown(source)} is not the expected file: its SHA-256 is {found}, not {sha256}.",
                    "Check the SHA-256, or make or download the file again.", code="wrong-checksum",
                )  # fmt: skip
            file.flush()
            os.fsync(file.fileno())
            set_mode(file.fileno(), 0o644)
        os.replace(new, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(new)
        raise
    return True


def _copied(given, file, source, largest, tell):
    """Copy a source to a file, and return its SHA-256."""
    found, done = hashlib.sha256(), 0
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
        yield SimpleNamespace(read=file.read, size=os.fstat(file.fileno()).st_size)
