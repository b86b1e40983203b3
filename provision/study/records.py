"""What was done: a record for each step and series, and whether it still holds."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from provision.machine.files import write_json
from provision.machine.reading import read_json, sha256_of

FOLDER = ".provision"
"""The folder of the records in the output folder."""

CLAIM = f"{FOLDER}/claim.json"
"""The file by which a run claims the output folder."""

ALL = f"{FOLDER}/records"
"""The folder of all records: in it are one for each series, and one for each group."""

INDEX, FAILURES = "index.html", "failed.tsv"
"""The report, and the list of what failed."""

File = dict[str, Any]


def path_of(series: str, step: str) -> str:
    """Return the path of a record, below the output folder."""
    return f"{ALL}/{series}/{step}.json"


class Records:
    """The records of an output folder, and the digests of files that they know.

    Parameters
    ----------
    out : pathlib.Path
        The output folder.
    """

    def __init__(self, out: Path):
        self._out, self.writes = out, True
        self._digests: dict[tuple[str, int, int], str] = {}

    def read(self, path: str) -> dict[str, Any]:
        """Return a record, an empty dict if there is none or it is damaged."""
        record = read_json(str(self._out / path))
        try:
            self.learn(record)
            return record if _is_sound(record) else {}
        except (KeyError, TypeError, AttributeError):
            return {}

    def learn(self, record: dict[str, Any]) -> None:
        """Remember the digests of a record."""
        for files in [*record["inputs"].values(), *record["outputs"].values()]:
            self._digests.update({(file["path"], file["size"], file["mtime_ns"]): file["sha256"] for file in files})

    def known(self, path: str) -> File:
        """Return what is known of a file without reading it."""
        try:
            status = (self._out / path).stat()
        except OSError:
            return {"path": path}
        mark = (path, status.st_size, status.st_mtime_ns)
        digest = self._digests.get(mark)
        return {"path": path, "size": mark[1], "mtime_ns": mark[2], **({"sha256": digest} if digest else {})}

    def same(self, noted: File, path: str | None = None) -> bool:
        """Return whether a file is what was recorded, wherever it is; another place or time is noted."""
        path = noted["path"] if path is None else path
        found = self.known(path)
        if found.get("size") != noted["size"]:
            return False
        if (path, found["mtime_ns"]) != (noted["path"], noted["mtime_ns"]):
            digest = found.get("sha256") or sha256_of(str(self._out / path))
            self._digests[path, found["size"], found["mtime_ns"]] = digest
            if digest != noted["sha256"]:
                return False
            noted.update(path=path, mtime_ns=found["mtime_ns"])
        return True

    def reason(self, record: dict[str, Any], definition: str, inputs: dict[str, list[str]] | None) -> str:
        """Return why a step is due, an empty string if its record holds, whatever its inputs are if none are given."""
        if not record:
            return "not done yet"
        if record.get("definition") != definition:
            return "the step changed"
        before = json.dumps([record["inputs"], record["outputs"]])
        for name, paths in (inputs or {}).items():
            noted = record["inputs"].get(name, [])
            if len(noted) != len(paths) or not all(map(self.same, noted, paths)):
                return f"{name} changed"
        for name, files in record["outputs"].items():
            if not all(map(self.same, files)):
                return f"{name} is missing or changed"
        if self.writes and json.dumps([record["inputs"], record["outputs"]]) != before:
            with suppress(OSError):  # the next look reads the files again
                write_json(str(self._out / path_of(record["series"], record["step"])), record)
        return ""


def _is_sound(record: dict[str, Any]) -> bool:
    """Return whether a record that lists its files can be used: somebody may have edited it."""
    texts, numbers = ("step", "series", "definition", "command", "error", "log"), ("seconds", "memory")
    made = list(record["outputs"].values())
    return (
        {"step", "series"} <= record.keys()
        and (record.get("state") == "failed" or (record.get("state") == "done" and made != [] and all(made)))
        and all(isinstance(record.get(key, ""), str) for key in texts)
        and all(isinstance(record.get(key, 0), int | float) for key in numbers)
        and not any("\0" in file["path"] for files in [*record["inputs"].values(), *made] for file in files)
    )
