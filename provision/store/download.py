"""Fetching a file from a URL, with what can go wrong on the way told in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from provision.errors import OptionError, ProvisionError
from provision.machine import download as _downloads


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
    try:
        return _downloads.local_path(source)
    except _downloads.DownloadError as error:
        raise OptionError(error.message, hint=error.hint, code=error.code) from error


@contextmanager
def opened(url: str) -> Iterator[Any]:
    """Give what a URL holds, once its server has answered; its hash is known to whoever reads it.

    Parameters
    ----------
    url : str
        A URL of http or https.

    Yields
    ------
    provision.machine.download.Download
        To be read like a file. Its ``size`` is 0 when the server does not say.

    Raises
    ------
    ProvisionError
        When the server cannot be reached, does not have it, is too slow or does not come to an end.

    Examples
    --------
    >>> with opened("https://example.org/build.tar.zst") as download:  # doctest: +SKIP
    ...     beginning = download.read(1000)
    """
    try:
        with _downloads.opened(url) as download:
            yield download
    except _downloads.DownloadError as error:
        raise ProvisionError(error.message, hint=error.hint, code=error.code) from error
