"""Sample data for MRtrix3: a human head that dipy downloads, or simulated data."""

from __future__ import annotations

import inspect
import os
import queue
import re
import shlex
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path

from provision import extras, notebook, paths
from provision.errors import OptionError, ProvisionError, unknown
from provision.machine import failures

NAMES = ("phantom", "sherbrooke_3shell")
"""Single images: a phantom with known fibre directions, or 193 volumes of a human head."""

SAMPLES = (*NAMES, "bids")
"""All samples: the single images, and a small BIDS folder of two simulated subjects."""

# dipy itself waits a minute for a server that does not answer, five times over.
ANSWER_SECONDS = 5.0
_failed: list[ProvisionError] = []  # why there is no head, for the rest of this process

_PHANTOM = ("dwi.nii.gz", "bvecs", "bvals")


@dataclass(frozen=True, repr=False)
class Sample:
    """The files of a diffusion-weighted image and its gradient table.

    Attributes
    ----------
    name : str
        One of `SAMPLES`; for an image in a BIDS folder, the name of the file without ``_dwi.nii.gz``.
    image : pathlib.Path
        The image, NIfTI.
    bvecs, bvals : pathlib.Path
        The gradient table in FSL's convention.

    Examples
    --------
    >>> Sample("phantom", Path("/d/dwi.nii.gz"), Path("/d/bvecs"), Path("/d/bvals"))
    phantom: /d/dwi.nii.gz with gradients in /d/bvecs and /d/bvals
    """

    name: str
    image: Path
    bvecs: Path
    bvals: Path

    @property
    def folder(self) -> Path:
        """The folder of the gradient table: that of the phantom, or the top of the simulated BIDS folder."""
        return self.bvals.parent

    @property
    def arguments(self) -> str:
        """The image and its gradient table as arguments of an MRtrix3 command, quoted for a shell.

        Examples
        --------
        >>> Sample("phantom", Path("/d/dwi.nii.gz"), Path("/d/bvecs"), Path("/d/bvals")).arguments
        '/d/dwi.nii.gz -fslgrad /d/bvecs /d/bvals'
        """
        return shlex.join([str(self.image), "-fslgrad", str(self.bvecs), str(self.bvals)])

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: plain values only.

        Examples
        --------
        >>> Sample("phantom", Path("/d/dwi.nii.gz"), Path("/d/bvecs"), Path("/d/bvals")).to_dict()["image"]
        '/d/dwi.nii.gz'
        """
        files = {name: str(getattr(self, name)) for name in ("image", "bvecs", "bvals")}
        return {"name": self.name, **files, "arguments": self.arguments}

    def __repr__(self) -> str:
        return f"{self.name}: {self.image} with gradients in {self.bvecs} and {self.bvals}"

    def _repr_html_(self) -> str:
        """Return the same for a notebook."""
        return f"<div>{escape(repr(self))}</div>"


def sample(name: str | None = None, *, folder: str | os.PathLike | None = None) -> Sample:
    """Download or create sample diffusion data.

    Parameters
    ----------
    name : {"sherbrooke_3shell", "phantom", "bids"}, optional
        A human head, which dipy downloads once (55 MB) into its own folder; a phantom, a ring of fibres crossed by a
        bar; or a BIDS folder with three small scans of such rings, from two subjects. Without a name the head; if its
        server does not answer within five seconds, the phantom, with a message, and later calls take it at once.
    folder : path-like, optional
        The folder for simulated data, ``phantom`` or ``bids`` by default; a second call writes the same files again.

    Returns
    -------
    Sample
        The files; for the BIDS folder, those of the first subject.

    Raises
    ------
    OptionError
        If there is no such sample, the working folder no longer exists, or the folder contains other files.
    ProvisionError
        If dipy or nibabel is not installed, the folder cannot be written, or the head was asked for by name and cannot
        be downloaded.

    Examples
    --------
    >>> data = sample("phantom")  # doctest: +SKIP
    >>> data.arguments  # doctest: +SKIP
    '/content/phantom/dwi.nii.gz -fslgrad /content/phantom/bvecs /content/phantom/bvals'
    """
    if name is not None:
        check(name, SAMPLES)
    paths.working_folder()  # refused if it no longer exists
    extras.require("demo", "Sample data", "nibabel", "dipy")
    if name in ("phantom", "bids"):
        return _made(name, folder)
    if name:
        return fetched()
    try:
        if _failed:
            raise _failed[0]
        return fetched()
    except ProvisionError as error:
        print(f"{error.message} Using the phantom instead.", file=notebook.stream(), flush=True)
        return _made("phantom", folder)


def check(name: str, names: tuple[str, ...] = NAMES) -> None:
    """Refuse the name of an unknown sample."""
    if name not in names:
        raise unknown("sample", name, names)


def fetched() -> Sample:
    """Download dipy's three-shell head into dipy's folder, unless it is already there."""
    import dipy.data
    from dipy.data.fetcher import FetcherError, dipy_home

    folder = Path(dipy_home) / "sherbrooke_3shell"
    try:
        _wait_for_server(dipy.data.fetch_sherbrooke_3shell)
        _, folder = dipy.data.fetch_sherbrooke_3shell()
    except (FetcherError, OSError) as error:
        _failed[:] = [_unreachable(error, folder)]
        raise _failed[0] from error
    _failed.clear()
    image, bvecs, bvals = (Path(folder, f"HARDI193.{kind}").resolve() for kind in ("nii.gz", "bvec", "bval"))
    return Sample("sherbrooke_3shell", image, bvecs, bvals)


def _wait_for_server(fetch: Callable) -> None:
    """Raise an OSError where the server of the files that dipy would download does not answer in time."""
    data = inspect.getclosurevars(fetch).nonlocals
    names = zip(data.get("remote_fnames", ()), data.get("local_fnames", ()), strict=False)
    missing = [name for name, local in names if not Path(data["folder"], local).exists()]
    if not missing:
        return
    address = data["baseurl"] + missing[-1]
    answer: queue.SimpleQueue[str] = queue.SimpleQueue()
    # In a thread, because looking up the server's name has no time limit.
    threading.Thread(target=lambda: answer.put(_refusal(address)), daemon=True).start()
    try:
        refusal = answer.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        refusal = f"it did not answer within {ANSWER_SECONDS:.0f} s"
    if refusal:
        raise OSError(f"{address} Last error: {refusal}")


def _refusal(address: str) -> str:
    """Return why a file cannot be had from a server; empty where it can."""
    # Slow to import, and the command line reads this file each time.
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        urlopen(address, timeout=ANSWER_SECONDS).close()
    except (OSError, HTTPException) as error:
        return str(error)
    return ""


def _unreachable(error: Exception, folder: Path) -> ProvisionError:
    """Return the error for a failed download, which names the server."""
    address = re.search(r"https?://([^/\s]+)", str(error))
    host = address[1] if address else "the server of dipy's data"
    reason = str(error).rsplit("Last error: ", 1)[-1].strip("<>. ").removeprefix("urlopen error ")
    return ProvisionError(
        f"The sample sherbrooke_3shell could not be downloaded from {host}: {reason}.",
        hint="Check the network and try again, or use the phantom, which needs none. You can also put HARDI193.nii.gz, "
        f"HARDI193.bval and HARDI193.bvec into {folder} yourself.",
        task="fetch_sherbrooke_3shell",
        code="unreachable",
    )


def check_folder(folder: Path, is_ours: Callable[[Path], bool]) -> None:
    """Refuse a folder with files of others; one of ours may be written anew, even where it was cut off."""
    with suppress(OSError):  # writing to it says why
        others = any(not path.name.startswith(".") for path in folder.iterdir())
        if others and not is_ours(folder):
            hint = "Choose an empty or a new folder."
            raise OptionError(f"{folder} contains other files.", hint=hint, code="file-exists")


def _made(name: str, folder: str | os.PathLike | None) -> Sample:
    """Write simulated data into a folder."""
    from provision.demo import bids, phantom

    place = paths.absolute(name if folder is None else folder)
    try:
        if name == "phantom":
            check_folder(place, lambda folder: (folder / phantom.TRUTH).exists())
            phantom.make_phantom().write(place)
        else:
            check_folder(place, bids.is_ours)
            bids.write(place)
    except OSError as error:
        raise ProvisionError(
            f"The sample data cannot be written to {place}: {error.strerror}.",
            hint="Choose another folder.",
            code=failures.failure(error)["code"],
        ) from error
    files = _PHANTOM if name == "phantom" else (bids.image_of(bids.SCANS[0]), "dwi.bvec", "dwi.bval")
    return Sample(name, *(place / file for file in files))
