"""Draws the pages of some subjects: ``python -m provision.study.report OUT SUBJECT...``."""

import sys
from pathlib import Path

from provision.study import report

if __name__ == "__main__":
    report.write(Path(sys.argv[1]), sys.argv[2:])
