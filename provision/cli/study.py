"""The command ``process``: its arguments, and the function it calls."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import provision
from provision.cli import flags
from provision.cli.help import add_command

_EXAMPLES = """\
examples:
  provision process bids out participant                 all subjects; run it again to resume
  provision process bids out participant --dry-run       list what would be done
  provision process bids out participant --steps denoise,csd,tracks
  provision process bids out participant --retry-failed
  provision process bids out participant --participant-label 01 02
  provision process bids out group                       average the response functions of all subjects
  provision process scans out participant --pattern '{subject}/{session}/dwi.nii.gz'

exit codes:
  0    done
  1    a series failed, or the run could not be finished; failed.tsv in OUT_DIR lists what failed
  2    wrong usage: an unknown step, or a bad value
  130  interrupted; run the same command again to resume
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser of ``provision``."""
    about = "run a pipeline on all subjects of a dataset"
    usage = "provision process BIDS_DIR OUT_DIR LEVEL [options]"
    parser = add_command(commands, "process", about, _EXAMPLES, usage=usage)
    # What is not given is not passed on, so that each default is in one place only, the function.
    parser.argument_default = argparse.SUPPRESS
    add = parser.add_argument
    add("bids", metavar="BIDS_DIR", help="the dataset, a BIDS folder")
    add("out", metavar="OUT_DIR", help="the folder for the results")
    add("level", metavar="LEVEL", choices=("participant", "group"), help="participant or group")
    about = "the subjects (default: all)"
    add("--participant-label", "--participant_label", nargs="+", action="extend", metavar="LABEL", help=about)
    about = "the sessions (default: all)"
    add("--session-label", "--session_label", nargs="+", action="extend", metavar="LABEL", help=about)
    about = "where the images are in a folder that is not BIDS: {subject}/{session}/dwi.nii.gz"
    add("--pattern", metavar="PATTERN", help=about)
    about = "built-in steps, or YAML files, separated by commas: denoise, preproc, bias, csd, tracks (default: csd)"
    add("--steps", type=_list, metavar="STEPS", help=about)
    about = "how many steps run at once (default: as many as cores and memory allow)"
    add("--jobs", type=_number(int), metavar="NUMBER", help=about)
    about = "how many threads each command uses (default: cores divided by jobs)"
    add("--nthreads", "--n_cpus", type=_number(int), metavar="NUMBER", help=about)
    about = "how much memory may be used, in GB (default: what is free)"
    add("--mem", "--mem_gb", type=_number(float), metavar="GB", help=about)
    about = "where to run: local, an inventory or hosts as in run --on, or the address of a Dask scheduler"
    add("--executor", metavar="WHERE", help=about)
    add("--scratch", metavar="FOLDER", help="a folder on a local disk for what is being computed")
    add("--retry-failed", action="store_true", help="try again what failed before")
    add("--redo", type=_list, metavar="STEPS", help="do these steps again, and what follows from them")
    add("--dry-run", action="store_true", help="only list what would be done")
    about = "take names, dates of birth and paths out of the headers that MRtrix3 writes"
    add("--scrub", action="store_true", help=about)
    add("--no-report", dest="report", action="store_false", help="do not draw the report, index.html in OUT_DIR")
    flags.add_json(parser)


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _number(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not 0 < value < float("inf"):
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} above 0")
        return value

    return read


def call(arguments: argparse.Namespace) -> Any:
    """Run the pipeline."""
    given = {name: value for name, value in vars(arguments).items() if name not in ("command", "json")}
    return provision.process(given.pop("bids"), given.pop("out"), given.pop("level"), **given)
