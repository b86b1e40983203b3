"""How far a task is, told through a file."""

import json
import os
import secrets
import subprocess
import sys

import pytest

from plugins.module_utils.provision import progress
from provision.engine import content

ROOT = content.root()


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


@pytest.mark.parametrize("end", ["", "raise SystemExit(1)", "raise ValueError"])
def test_what_is_followed_from_another_machine_is_deleted_at_the_end(end):
    path = f"/dev/shm/provision-{secrets.token_hex(8)}.json"
    program = f"""
import os
from plugins.module_utils.provision import progress
progress.teller({path!r}, "steps")(3, 3)
assert os.stat({path!r}).st_mode & 0o777 == 0o644
print("told")
{end}
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "told\n" and not os.path.exists(path)
