"""That a build will be lost is told before it is begun."""

from __future__ import annotations

import shutil

import pytest

from provision import ProvisionError
from provision.actions.run import run
from provision.engine.events import Step


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_a_run_tells_it_before_anything_is_downloaded_or_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    steps: list[Step] = []
    # It ends where the sources would be fetched. /gdrive is where the blog mounts Drive.
    store = "/gdrive/MyDrive/none-of-ours"
    options = {"origin": "source", "repo": str(tmp_path / "none"), "prefix": str(tmp_path / "opt"), "link_dir": "none"}
    with pytest.raises(ProvisionError) as failed:
        run("mrtrix3", store=store, progress=steps.append, **options)
    assert failed.value.code == "unreachable" and options["repo"] in failed.value.message
    told = [step.task for step in steps if step.kind == "task"]
    (note,) = [step for step in steps if step.note]
    assert note.note.startswith(f"Note: No Google Drive is mounted at /gdrive, where the store {store} is: ")
    assert told.index(note.task) < told.index("Find the version in the repository")
