"""Install MRtrix3 and check that it computes the right answer."""

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
    """Install MRtrix3 and check its result on data with a known answer.

    Parameters
    ----------
    folder : path-like
        The folder for the results, a new or an empty one; a second run overwrites only the files of the first.
    version : str
        The version of MRtrix3, as for the option ``mrtrix3_version`` of the role.
    data : {"phantom", "sherbrooke_3shell"}
        A phantom with known fibre directions, or a human head, which is downloaded. For the head there is no truth to
        compare with, and it has some twenty times as many voxels, so it takes that much longer.
    size : sequence of three ints, optional
        Size of the phantom in voxels.
    snr : float
        Signal-to-noise ratio of the phantom at b = 0.
    seed : int
        Seed of the phantom's noise.
    progress : callable, optional
        As for `run`.
    wait : float
        As for `run`.

    Returns
    -------
    provision.demo.pipeline.DemoResult
        Angles, times and versions. They are also in ``results.json`` and ``report.html`` in the folder.

    Raises
    ------
    OptionError
        If a value is not allowed, the folder contains other files, or the working folder no longer exists; nothing was
        started.
    ProvisionError
        If the installation or a command fails, the data cannot be downloaded, or the angles are too large.

    Examples
    --------
    >>> demo("results").passed  # doctest: +SKIP
    True
    """
    # Refused, if need be, before anything is installed.
    check(data, paths.absolute(folder))
    # A build of these commands alone is enough, and one that has them is taken as it is.
    result = run("mrtrix3", version=version, commands=COMMANDS, progress=progress, wait=wait)
    with shared.display(progress) as (on_step, _):
        bin = Path(result.mrtrix3.bin)
        return run_demo(folder, bin=bin, data=data, size=size, snr=snr, seed=seed, on_step=on_step)
