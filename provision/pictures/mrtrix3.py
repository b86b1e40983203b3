"""MRtrix3's commands, run for a picture: found, called with nothing of the user's settings that would turn it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import textwrap
import warnings
from pathlib import Path

from provision.errors import OptionError, ProvisionError
from provision.machine import notes

# Whatever ~/.mrtrix.conf says, axes are those nearest to right, front and up.
_SETTINGS = ("-config", "RealignTransform", "true")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LONGEST_REASON = 200
_SAID = re.compile(r"^\S+: \[(WARNING|ERROR)\] (.*)$", re.M)
# Words of MRtrix3's errors, and the code of each. The first that is found counts.
_CODES = {
    "No space left": "disk-full",
    "smaller than expected": "damaged",
    "GZ file": "damaged",
    "unknown format": "unknown-format",
    "no DICOM images": "unknown-format",
    "Permission denied": "permission",
}
_HINTS = {
    "damaged": "Copy or create it again.",
    "disk-full": "Free some space there, or set TMPDIR to another folder.",
    "unknown-format": "MRtrix3 reads NIfTI, MIF, MGH and DICOM; the name's ending has to say which.",
}


class ImageWarning(UserWarning):
    """What MRtrix3 says is odd about an image that it reads nevertheless."""


def command(name: str) -> Path:
    """Return the path of one of MRtrix3's commands: the one on PATH, else the one that was installed here."""
    if found := shutil.which(name):
        return Path(found)
    report = notes.read_state("mrtrix3").get("report", {})
    installed = Path(report.get("bin") or os.devnull) / name
    if installed.is_file():
        return installed
    if shutil.which("mrinfo") or Path(report.get("bin") or os.devnull, "mrinfo").is_file():
        hint = f'Install it as well: provision.run("mrtrix3", commands=["{name}"]).'
        raise ProvisionError(f"This MRtrix3 has no {name}.", hint=hint, code="not-installed")
    hint = 'Install it: provision.run("mrtrix3").'
    raise ProvisionError("Pictures are read by MRtrix3, which is not installed.", hint=hint, code="not-installed")


def run(name: str, *arguments: str | os.PathLike[str], of: str, folder: Path, known: set[str] | None = None) -> str:
    """Run a command and return what it prints; its warnings about `of`, the image, are passed on.

    `folder` is where it may leave temporary files; warnings in `known` were given before, and new ones join them.
    """
    known = set() if known is None else known
    dropped = ("MRTRIX_QUIET", "MRTRIX_LOGLEVEL")
    environment = {key: value for key, value in os.environ.items() if key not in dropped}
    done = subprocess.run(
        [command(name), *(os.fspath(one) for one in arguments), *_SETTINGS],
        env={**environment, "MRTRIX_TMPFILE_DIR": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    said = _SAID.findall(_ESCAPES.sub("", done.stderr))
    if done.returncode:
        raise _failure(name, of, [text for kind, text in said if kind == "ERROR"], done.returncode)
    for text in (text.strip() for kind, text in said if kind == "WARNING"):
        if text not in known:
            known.add(text)
            warnings.warn(f"{of}: {text}", ImageWarning, stacklevel=2)
    return done.stdout


def _failure(name: str, of: str, errors: list[str], code: int) -> ProvisionError:
    """Return the error for a command that failed, from what it said first."""
    if not errors and code in (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS):
        message = f"MRtrix3 cannot read {of}: {name} crashed, as it does on files that are cut off."
        return OptionError(message, hint=_HINTS["damaged"], code="damaged")
    if not errors:
        return ProvisionError(f"{name} could not read {of}: it ended with exit code {code}.", code="failed")
    said = " ".join(errors)
    kind = next((found for words, found in _CODES.items() if words in said), "")
    reason = textwrap.shorten(errors[0].replace('"', ""), _LONGEST_REASON, placeholder=" ...").rstrip(":. ")
    message = f"MRtrix3 cannot read {of}: {reason}."
    if not kind:
        return OptionError(message, hint="Check it with mrinfo.", code="bad-image")
    return OptionError(message, hint=_HINTS.get(kind, ""), code=kind)
