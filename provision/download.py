"""Fetching a file from a URL, with what can go wrong on the way told in a sentence."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.error import HTTPError, URLError
from urllib.request import url2pathname, urlopen

from provision.errors import OptionError, ProvisionError
from provision.progress import format_bytes

_SECONDS_SILENT = 60
_SCHEMES = ("http", "https", "file")


def local_path(source: str) -> str | None:
    """Return the path that a source names.

    Parameters
    ----------
    source : str
        A path or a URL.

    Returns
    -------
    str or None
        The path, with ``file://`` and its encoding taken off; None for a URL of a server.

    Raises
    ------
    OptionError
        For a URL that is none of http, https and file, or has a password in it.

    Examples
    --------
    >>> local_path("file:///tmp/a%20b"), local_path("build.tar.zst"), local_path("https://example.org/b")
    ('/tmp/a b', 'build.tar.zst', None)
    """
    scheme, separator, rest = source.partition("://")
    host, _, path = rest.partition("/")
    if not separator:
        return source
    if scheme.lower() not in _SCHEMES:
        raise OptionError(f"{scheme}:// cannot be fetched.", hint="Give a path, or a URL of http, https or file.")
    # urllib would take them for a part of the host's name, and show them in its errors.
    if "@" in host:
        raise OptionError(
            "A URL with a user's name in it cannot be fetched.", hint="Download it by other means, and give its path."
        )
    return url2pathname(f"/{path}") if scheme.lower() == "file" else None


class Download:
    """What a server gives, read like a file, its end told from a connection that broke off.

    Parameters
    ----------
    url : str
        Where it comes from.
    answer : http.client.HTTPResponse
        What the server has answered.

    Attributes
    ----------
    size : int
        Bytes in all, 0 when the server does not say.
    """

    def __init__(self, url: str, answer: http.client.HTTPResponse):
        self._url, self._answer, self._done = url, answer, 0
        self.size = answer.length or 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, none at the end.

        Parameters
        ----------
        size : int
            How many at most.

        Returns
        -------
        bytes

        Raises
        ------
        ProvisionError
            When the server breaks off.
        """
        with _reaching(self._url):
            data = self._answer.read(size)
        self._done += len(data)
        if not data and self._done < self.size:
            raise ProvisionError(
                f"{_shown(self._url)} broke off after {format_bytes(self._done)} of {format_bytes(self.size)}.",
                hint="Run it again.",
            )
        return data


@contextmanager
def opened(url: str) -> Iterator[Download]:
    """Give what a URL holds, once its server has answered.

    Parameters
    ----------
    url : str
        A URL of http or https.

    Yields
    ------
    Download
        To be read like a file.

    Raises
    ------
    ProvisionError
        When the server cannot be reached or does not have it.

    Examples
    --------
    >>> with opened("https://example.org/build.tar.zst") as download:  # doctest: +SKIP
    ...     beginning = download.read(1000)
    """
    with _reaching(url):
        answer = urlopen(url, timeout=_SECONDS_SILENT)
    with closing(answer):
        yield Download(url, answer)


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    """Turn what goes wrong with the server into one sentence; what goes wrong with the disk is no matter of it."""
    try:
        yield
    except HTTPError as error:
        error.close()
        answered = f"{error.code} {error.reason or ''}".strip()
        raise ProvisionError(
            f"{_shown(url)} could not be downloaded: the server answered {answered}.", hint="Check the URL."
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        reason = getattr(reason, "strerror", None) or reason
        raise ProvisionError(
            f"{_shown(url)} could not be reached: {reason}.", hint="Check the URL and the network, and run it again."
        ) from error


def _shown(url: str) -> str:
    """Return a URL without its query, which may hold the key of a signed link."""
    return url.partition("?")[0]
