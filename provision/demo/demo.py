"""Install MRtrix3 and show that it computes the right thing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provision import paths
from provision.actions import shared
from provision.actions.run import run
from provision.demo.pipeline import COMMANDS, check, run_demo
from provision.engine import lock


@shared.for_people()
def demo(
    folder: str | os.PathLike = "provision-demo",
    *,
    version: str = "any",
    data: str = "phantom",
    progress: Callable | None = None,
    wait: float = lock.SECONDS,
    **options: Any,
):
    """Install MRtrix3 and show on data whose answer is known that it computes the right one.

    Parameters
    ----------
    folder : path-like
        Where the results go.
    version : str
        The version of MRtrix3, as the role's option ``mrtrix3_version``.
    data : {"phantom", "sherbrooke_3shell"}
        A phantom with known fibre directions, or the human data of the blog post, which is downloaded.
    progress : callable, optional
        As for :func:`run`.
    wait : float
        As for :func:`run`.
    **options
        As for :func:`provision.demo.pipeline.run_demo`.

    Returns
    -------
    provision.demo.pipeline.DemoResult

    Raises
    ------
    OptionError
        When the working folder is gone; nothing was started.
    ProvisionError
        When something could not be installed or a command failed, and when the angles are too large.

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
        return run_demo(folder, bin=Path(result.mrtrix3.bin), data=data, on_step=on_step, **options)
