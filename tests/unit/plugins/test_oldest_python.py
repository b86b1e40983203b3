"""What runs on a machine is written for the oldest Python that may be there; tests/machine tries one."""

import ast

from provision.engine import content

ROOT = content.root()


def test_what_is_sent_to_a_target_is_written_for_its_oldest_python():
    # Python 3.9 is the oldest that ansible-core 2.19 to 2.21 manage.
    for file in (ROOT / "plugins").glob("mod*/**/*.py"):
        ast.parse(file.read_text(), str(file), feature_version=(3, 9))
