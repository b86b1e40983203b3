"""The servers that a run may need, as configured for apt and pip, and whether they answer."""

from __future__ import annotations

import base64
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import namedtuple
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from urllib.parse import unquote, urlsplit, urlunsplit

SECONDS = 1.5
"""How long a server, or a program on this machine, may take to answer."""

# The default of mrtrix3_repo.
GIT = "https://github.com/MRtrix3/mrtrix3.git"

# Where an agent of ngrok connects to by default (ngrok's documentation, agent/config/v3).
NGROK = ("connect.ngrok-agent.com", 443)

# What a proxy says in the place of a server that it cannot reach; other codes are the server's own answer.
_GATEWAY = (502, 503, 504)
# Some servers answer no other question than for the whole page; that they are there is all that was asked.
_THERE = (405, 501)


class Answer(namedtuple("Answer", "host problem time", defaults=("", 0.0))):
    """The answer of a server: the problem is why it gave no good one, and the time, which may be 0, its clock's."""

    __slots__ = ()


def ask(url, proxies=None, seconds=SECONDS):
    """Ask a web server for the head of a page; a user and password in the URL are sent but never shown."""
    host = ""
    try:
        plain, headers = _without_user(url)
        host = urlsplit(plain).hostname or plain
        request = urllib.request.Request(plain, headers=headers, method="HEAD")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
        with opener.open(request, timeout=seconds) as page:
            return Answer(host, "", _time(page.headers.get("Date")))
    except urllib.error.HTTPError as error:
        theirs = 0.0 if error.code in _GATEWAY else _time(error.headers.get("Date"))
        return Answer(host, "" if error.code in _THERE else f"it answered {error.code} {error.reason}", theirs)
    except OSError as error:
        return Answer(host, _why(error))
    except (ValueError, HTTPException) as error:  # not an address, or not HTTP
        return Answer(host, str(error).lower() or "not an HTTP server")


def connect(host, port, seconds=SECONDS):
    """Check whether a server accepts a connection."""
    try:
        with socket.create_connection((host, port), timeout=seconds):
            return Answer(host)
    except OSError as error:
        return Answer(host, _why(error))


def apt_page():
    """Return the first page that apt would read from a web server; empty if it uses none."""
    # Otherwise it would first read all package lists, and write what it keeps of them.
    unread = ("-o", "Dir::State::Lists=/nonexistent", "-o", "Dir::Cache=/nonexistent")
    said = _said("apt-get", "indextargets", "--no-release-info", "--format", "$(BASE_URI)", *unread)
    return next((f"{folder}InRelease" for folder in said.split() if _is_on_the_web(folder)), "")


def apt_proxies():
    """Return apt's proxies by scheme, else those of the environment."""
    given = dict(re.findall(r'^Acquire::(https?)::Proxy "([^"]+)";$', _said("apt-config", "dump", "Acquire"), re.M))
    proxies = {**urllib.request.getproxies(), **given}
    return {scheme: proxy for scheme, proxy in proxies.items() if proxy != "DIRECT"}


def pip_page():
    """Return a page of pip's index; empty if pip is not installed, or its index is on this machine."""
    said = _said(sys.executable, "-m", "pip", "config", "list")
    given = dict(re.findall(r"^(\S+)\.index-url='(.+)'$", said, re.M))
    ranked = (given.get(section) for section in (":env:", "install", "global"))
    index = next(filter(None, ranked), None) or _default_index()
    return f"{index.rstrip('/')}/pip/" if _is_on_the_web(index) else ""


def _default_index():
    # No command of pip's prints it alone, and this process may have been started without a way to pip.
    return _said(sys.executable, "-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)").strip()


def _said(*command):
    """Return what a program prints, nothing if it is not installed; raise TimeoutError."""
    try:
        # Python looks for pip first where it is started.
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=SECONDS, cwd="/"
        )
    except OSError:
        return ""
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{command[0]} does not answer") from error
    return done.stdout.decode(errors="replace")


def _is_on_the_web(url):
    return url.startswith(("http://", "https://"))


def _without_user(url):
    """Return a URL without its user and password, and the header that carries them."""
    parts = urlsplit(url)
    if not parts.username:
        return url, {}
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=place)), {
        "Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"
    }


def _time(date):
    try:
        return parsedate_to_datetime(date).timestamp() if date else 0.0
    except ValueError:
        return 0.0


def _why(error):
    """Return why a connection failed, in a few words."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, socket.gaierror):
        return "its name cannot be resolved"
    verify = getattr(cause, "verify_message", "")
    if verify:
        return f"its certificate is not trusted: {verify}"
    return str(getattr(cause, "strerror", "") or cause).lower()
