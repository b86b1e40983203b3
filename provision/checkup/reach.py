"""Which servers a run would need, as apt and pip have them configured, and whether they answer."""

from __future__ import annotations

import base64
import configparser
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

SECONDS = 1.5
"""How long a server has to answer."""

# Where an agent of ngrok connects to, unless it is told otherwise (ngrok's documentation, agent/config/v3).
NGROK = ("connect.ngrok-agent.com", 443)

# What a proxy says in the place of a server that it cannot reach; other codes are the server's own answer.
_GATEWAY = (502, 503, 504)
# Some servers answer no other question than for the whole page; that they are there is all that was asked.
_THERE = (405, 501)


@dataclass(frozen=True)
class Answer:
    """What came of asking a server.

    Attributes
    ----------
    host : str
        Its name.
    problem : str
        Why it gave no good answer, in a few words; empty when it did.
    time : float
        What its clock said, in seconds since 1970; 0 when it did not say.
    """

    host: str
    problem: str = ""
    time: float = 0.0


def ask(url: str, proxies: dict[str, str] | None = None, seconds: float = SECONDS) -> Answer:
    """Ask a web server for the head of a page.

    Parameters
    ----------
    url : str
        The page, with http or https; a user and password in it are sent and not shown.
    proxies : dict of str to str, optional
        The proxy for each scheme; those of the environment when not given.
    seconds : float
        How long it has to answer.

    Returns
    -------
    Answer
        Whether it did.

    Examples
    --------
    >>> ask("http://127.0.0.1:1/").problem
    'connection refused'
    """
    host = ""
    try:
        plain, headers = _without_user(url)
        host = urlsplit(plain).hostname or plain
        request = urllib.request.Request(plain, headers=headers, method="HEAD")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
        with opener.open(request, timeout=seconds) as page:
            return Answer(host, "", _time(page.headers.get("Date")))
    except urllib.error.HTTPError as error:
        told = 0.0 if error.code in _GATEWAY else _time(error.headers.get("Date"))
        return Answer(host, "" if error.code in _THERE else f"it answers {error.code} {error.reason}", told)
    except OSError as error:
        return Answer(host, _why(error))
    except (ValueError, HTTPException) as error:  # what is no address, or does not speak HTTP
        return Answer(host, str(error).lower() or "it does not speak HTTP")


def connect(host: str, port: int, seconds: float = SECONDS) -> Answer:
    """Ask whether a server takes a connection.

    Parameters
    ----------
    host, port : str, int
        Where.
    seconds : float
        How long it has.

    Returns
    -------
    Answer
        Whether it did.

    Examples
    --------
    >>> connect("127.0.0.1", 1).problem
    'connection refused'
    """
    try:
        with socket.create_connection((host, port), timeout=seconds):
            return Answer(host)
    except OSError as error:
        return Answer(host, _why(error))


def apt_page(folder: Path = Path("/etc/apt")) -> str:
    """Return a page that apt would read first of all.

    Parameters
    ----------
    folder : pathlib.Path
        Where its configuration is.

    Returns
    -------
    str
        The URL of a release file of the distribution's; empty when apt reads from no web server.

    Examples
    --------
    >>> apt_page(Path("/nonexistent"))
    ''
    """
    for uri, suite in (found for path in _sources(folder) for found in _entries(path)):
        if uri.startswith(("http://", "https://")):
            flat = suite.endswith("/")  # such a source has no suites, but a folder of packages (sources.list(5))
            return f"{uri.rstrip('/')}/{suite if flat else f'dists/{suite}/'}InRelease"
    return ""


def apt_proxies() -> dict[str, str]:
    """Return the proxies that apt goes through, by scheme, else those of the environment.

    Examples
    --------
    >>> apt_proxies()  # doctest: +SKIP
    {'http': 'http://proxy.example.org:3128'}
    """
    try:
        said = subprocess.run(
            ["apt-config", "dump", "Acquire"], capture_output=True, text=True, timeout=SECONDS, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    given = dict(re.findall(r'^Acquire::(https?)::Proxy "([^"]+)";$', said, re.M))
    proxies = {**urllib.request.getproxies(), **given}
    return {scheme: proxy for scheme, proxy in proxies.items() if proxy != "DIRECT"}


def pip_page() -> str:
    """Return a page of the index that pip takes packages from.

    Returns
    -------
    str
        The URL of a project's page; empty when pip takes them from this machine, or is not installed.

    Examples
    --------
    >>> pip_page()  # doctest: +SKIP
    'https://packages.example.org/simple/pip/'
    """
    index = _pip_index()
    return f"{index.rstrip('/')}/pip/" if index.startswith(("http://", "https://")) else ""


def pip_files() -> list[Path]:
    """Return the files that pip reads its configuration from, the weakest first.

    Examples
    --------
    >>> str(pip_files()[0])
    '/etc/xdg/pip/pip.conf'
    """
    home = Path.home()
    own = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    files: list[str | Path] = ["/etc/xdg/pip/pip.conf", "/etc/pip.conf", home / ".pip/pip.conf", own / "pip/pip.conf"]
    named = os.environ.get("PIP_CONFIG_FILE")
    return [Path(name) for name in (*files, Path(sys.prefix, "pip.conf"), *([named] if named else []))]


def _pip_index() -> str:
    if os.environ.get("PIP_INDEX_URL"):
        return os.environ["PIP_INDEX_URL"]
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(pip_files())
    except (configparser.Error, UnicodeDecodeError):
        return ""
    for section in ("install", "global"):
        if parser.has_option(section, "index-url"):
            return parser.get(section, "index-url")
    try:  # which index it is by itself, pip alone knows
        from pip._internal.models.index import PyPI as default
    except ImportError:
        return ""
    return default.simple_url


def _sources(folder: Path) -> list[Path]:
    more = sorted(path for path in (folder / "sources.list.d").glob("*") if path.suffix in (".list", ".sources"))
    return [folder / "sources.list", *more]


def _entries(path: Path) -> Iterator[tuple[str, str]]:
    """Give the URI and the suite of each source that a file names, in either of its two formats (sources.list(5))."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    text = re.sub(r"^[ \t]*#.*\n?", "", text, flags=re.M)
    if path.suffix == ".sources":
        for stanza in re.split(r"\n\s*\n", text):
            uris, suites = (re.search(rf"^{name}:\s*(\S+)", stanza, re.M | re.I) for name in ("URIs", "Suites"))
            if uris and suites and not re.search(r"^Enabled:\s*no\b", stanza, re.M | re.I):
                yield uris.group(1), suites.group(1)
        return
    yield from re.findall(r"^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)", text, re.M)


def _without_user(url: str) -> tuple[str, dict[str, str]]:
    """Return a URL without the user and password in it, and the header that says them."""
    parts = urlsplit(url)
    if not parts.username:
        return url, {}
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=place)), {
        "Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"
    }


def _time(date: str | None) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() if date else 0.0
    except ValueError:
        return 0.0


def _why(error: OSError) -> str:
    """Return why a connection was not made, in a few words."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, socket.gaierror):
        return "its name cannot be looked up"
    verify = getattr(cause, "verify_message", "")
    if verify:
        return f"its certificate is not trusted: {verify}"
    return str(getattr(cause, "strerror", "") or cause).lower()
