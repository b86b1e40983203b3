"""Lets ``python -m provision`` do what the command ``provision`` does."""

import sys

from provision.cli.main import main

sys.exit(main())
