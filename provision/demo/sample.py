"""Sample data to try MRtrix3 on: a human head that dipy downloads, or a phantom that is made here."""

from __future__ import annotations

import inspect
import os
import queue
import re
import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from provision import extras, notebook, paths
from provision.errors import OptionError, ProvisionError
from provision.machine import failures
from provision.words import did_you_mean

NAMES = ("phantom", "sherbrooke_3shell")
"""One image: made here, with fibres whose directions are known, or 193 volumes of a human head."""

SAMPLES = (*NAMES, "bids")
"""All that there is: one image, or a small BIDS folder of two made-up subjects."""

# dipy itself waits a minute for a server that does not answer, five times over.
ANSWER_SECONDS = 5.0
_failed: list[ProvisionError] = []  # why there is no head, for the rest of this process

_PHANTOM = ("dwi.nii.gz", "bvecs", "bvals")


@dataclass(frozen=True, repr=False)
class Sample:
    """Diffusion-weighted volumes and their gradient table, as files.

    Attributes
    ----------
    name : str
        One of `SAMPLES`; of the images in a BIDS folder the file's name without its ending.
    image : pathlib.Path
        The volumes, NIfTI.
    bvecs, bvals : pathlib.Path
        The gradient table by FSL's convention.

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
        """Where the gradient table is: in the phantom's folder, and at the top of the BIDS folder that is made here."""
        return self.bvals.parent

    @property
    def arguments(self) -> str:
        """The volumes and their gradients as a command of MRtrix3 takes them, for a shell.

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
    """Give diffusion data to try things on.

    Parameters
    ----------
    name : {"sherbrooke_3shell", "phantom", "bids"}, optional
        A human head, which dipy downloads once (55 MB) into its own folder; a ring of fibres that a bar crosses, made
        here in a second; or a BIDS folder with three small scans of such rings, from two subjects. Without a name the
        head; if its server does not answer within five seconds, the phantom, and a line says so. Later calls without a
        name then take the phantom at once.
    folder : path-like, optional
        Where the files that are made here go, ``phantom`` or ``bids`` by default; a second call writes the same files
        again.

    Returns
    -------
    Sample
        Where the files are; of the BIDS folder those of the first subject.

    Raises
    ------
    OptionError
        For a name that there is not, when the working folder is gone, and where a BIDS folder would be made in one that
        holds something else.
    ProvisionError
        When dipy or nibabel is not installed, the folder cannot be written, and when the head was asked for by its
        name and cannot be downloaded.

    Examples
    --------
    >>> data = sample("phantom")  # doctest: +SKIP
    >>> data.arguments  # doctest: +SKIP
    '/content/phantom/dwi.nii.gz -fslgrad /content/phantom/bvecs /content/phantom/bvals'
    """
    if name is not None:
        check(name, SAMPLES)
    paths.working_folder()  # refused where it is gone
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
        print(f"{error.message} The phantom is taken instead.", file=notebook.stream(), flush=True)
        return _made("phantom", folder)


def check(name: str, names: tuple[str, ...] = NAMES) -> None:
    """Refuse a name that no data have."""
    if name not in names:
        hint = f"{did_you_mean(str(name), names)} Choose from: {', '.join(names)}.".strip()
        raise OptionError(f"There are no data called {name!r}.", hint=hint, code="bad-value")


def fetched() -> Sample:
    """Download dipy's three-shell head into dipy's folder, unless it is there."""
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
    try:
        urlopen(address, timeout=ANSWER_SECONDS).close()
    except (OSError, HTTPException) as error:
        return str(error)
    return ""


def _unreachable(error: Exception, folder: Path) -> ProvisionError:
    """Return the error that names the server which could not be reached, and what to do without it."""
    address = re.search(r"https?://([^/\s]+)", str(error))
    host = address[1] if address else "the server of dipy's data"
    reason = str(error).rsplit("Last error: ", 1)[-1].strip("<>. ").removeprefix("urlopen error ")
    return ProvisionError(
        f"The data set sherbrooke_3shell could not be fetched from {host}: {reason}.",
        hint="Check the network and run this again, or download HARDI193.nii.gz, HARDI193.bval and HARDI193.bvec "
        f"elsewhere and put them into {folder}, or take the phantom, which needs no network.",
        task="fetch_sherbrooke_3shell",
        code="unreachable",
    )


def _made(name: str, folder: str | os.PathLike | None) -> Sample:
    """Write what is made here into its folder."""
    from provision.demo import bids, phantom

    place = paths.absolute(name if folder is None else folder)
    try:
        if name == "phantom":
            phantom.make_phantom().write(place)
        else:
            bids.write(place)
    except OSError as error:
        raise ProvisionError(
            f"The sample data cannot be written to {place}: {error.strerror}.",
            hint="Name another folder.",
            code=failures.failure(error)["code"],
        ) from error
    files = _PHANTOM if name == "phantom" else (bids.image_of(bids.SCANS[0]), "dwi.bvec", "dwi.bval")
    return Sample(name, *(place / file for file in files))
