"""Install MRtrix3 and show that it computes the right thing."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from provision import paths
from provision.actions import shared
from provision.actions.run import run
from provision.demo.pipeline import COMMANDS, DemoResult, check, run_demo
from provision.engine import lock


@shared.for_people()
def demo(
    folder: str | os.PathLike = "provision-demo",
    *,
    version: str = "any",
    data: str = "phantom",
    size: Sequence[int] | None = None,
    snr: float = 40.0,
    seed: int = 0,
    progress: Callable | None = None,
    wait: float = lock.SECONDS,
) -> DemoResult:
    """Install MRtrix3 and show on data whose answer is known that it computes the right one.

    Parameters
    ----------
    folder : path-like
        Where the results go; a second run overwrites the files of the first and nothing else.
    version : str
        The version of MRtrix3, as the role's option ``mrtrix3_version``.
    data : {"phantom", "sherbrooke_3shell"}
        A phantom with known fibre directions, or the human data of the blog post, which is downloaded. Its truth is not
        known, and its voxels are some twenty times as many as the phantom's, so that it takes as much longer.
    size : sequence of three ints, optional
        Voxels of the phantom along each axis.
    snr : float
        Signal-to-noise ratio of the phantom at b = 0.
    seed : int
        Seed of the phantom's noise.
    progress : callable, optional
        As for :func:`run`.
    wait : float
        As for :func:`run`.

    Returns
    -------
    provision.demo.pipeline.DemoResult
        Angles, times and versions; ``results.json`` in the folder holds the same, and ``report.html`` shows it.

    Raises
    ------
    OptionError
        When a value is not allowed, and when the working folder is gone; nothing was started.
    ProvisionError
        When something could not be installed or a command failed, when the data cannot be reached, and when the angles
        are too large.

    Examples
    --------
    >>> demo("results").passed  # doctest: +SKIP
    True
    """
    # Refused, if need be, before anything is installed.
    paths.absolute(folder)
    check(data)
    # A build of these commands alone is enough, and one that has them is taken as it is.
    result = run("mrtrix3", version=version, commands=COMMANDS, progress=progress, wait=wait)
    with shared.display(progress) as (on_step, _):
        bin = Path(result.mrtrix3.bin)
        return run_demo(folder, bin=bin, data=data, size=size, snr=snr, seed=seed, on_step=on_step)
