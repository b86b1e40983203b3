"""Let the following cells find the commands just installed, with the variables they need."""

from __future__ import annotations

import os
from pathlib import Path

from provision import notebook
from provision.machine.tool import prefix


def extend(hosts: dict) -> None:
    """Make the commands just installed on this machine available to this process, and so to ``!`` in a notebook."""
    for report in (report for reports in hosts.values() for report in reports.values()):
        folder, folders = report.get("bin"), os.environ.get("PATH", os.defpath).split(os.pathsep)
        # A prefix of ours has no other commands, and those of its names that came before are not the ones meant.
        if folder and Path(folder).is_dir() and (folder not in folders or prefix.is_ours(str(Path(folder).parent))):
            os.environ["PATH"] = os.pathsep.join([folder, *(other for other in folders if other != folder)])
        os.environ.update(report.get("environment", {}))
    if notebook.in_notebook():
        _show_help_in_cells()


def _show_help_in_cells() -> None:
    """Let ``!mrinfo -help`` print its page: a pager would wait for keys that nobody can press in a cell."""
    # What a user has in ~/.mrtrix.conf is read after this file, and what an administrator has is not replaced.
    if "MRTRIX_CONFIGFILE" not in os.environ and not Path("/etc/mrtrix.conf").exists():
        os.environ["MRTRIX_CONFIGFILE"] = str(Path(__file__).with_name("notebook.conf"))
