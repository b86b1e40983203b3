"""The probe's two sides: Ansible's here, and the checks on the machine."""

import json
import os
import subprocess
import sys

from provision.engine import content

ROOT = content.root()


def test_the_checks_run_alone_from_standard_input():
    # Who imports Ansible's side here has all that follows run as there.
    program = (
        "import json; from plugins.action import provision_probe as probe; "
        "print(probe._PROGRAM.format(sources=json.dumps(probe._sources()), mark='', roles='{}'))"
    )
    source = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True)
    done = subprocess.run(
        [sys.executable, "-IS", "-"], input=source, capture_output=True, text=True, check=False, env={}
    )
    assert json.loads(done.stdout or "{}").get("machine", {}).get("arch") == os.uname().machine, done.stderr
