"""How far a task is, told through a file."""

import json
import os

from plugins.module_utils.provision import progress


def test_the_progress_file_is_json_and_is_never_missed_at_the_end(tmp_path):
    tell = progress.teller(str(tmp_path / "now.json"), "steps")
    tell(1, 3, "a")
    tell(2, 3, "b")
    tell(3, 3, "c", 1.0)
    assert json.loads((tmp_path / "now.json").read_text()) == {
        "number": 3, "total": 3, "unit": "steps", "what": "c", "share": 1.0
    }  # fmt: skip


def test_progress_that_nobody_watches_is_not_written(tmp_path):
    for path in (None, "", str(tmp_path / "gone" / "now.json")):
        progress.teller(path, "bytes")(3, 3)
    assert os.listdir(tmp_path) == []


def test_a_watcher_that_goes_away_stops_no_work(tmp_path):
    (tmp_path / "run").mkdir()
    tell = progress.teller(str(tmp_path / "run" / "now.json"), "bytes")
    (tmp_path / "run").rmdir()
    (tmp_path / "run").write_text("")
    tell(3, 3)
    assert (tmp_path / "run").read_text() == ""
