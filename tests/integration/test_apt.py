"""A program of apt's that nobody listens to any more."""

import os
import stat
import subprocess
import sys
import time

from waiting import wait_until


def test_fetching_ends_when_nobody_listens_any_more(tmp_path):
    (tmp_path / "apt-get").write_text(f"#!/bin/sh\n: > {tmp_path}/started\nexec sleep 600\n")
    (tmp_path / "apt-get").chmod(stat.S_IRWXU)
    program = "from plugins.module_utils.provision import apt; apt.update()"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as module:
        wait_until((tmp_path / "started").exists)
        time.sleep(1)
        assert module.poll() is None
        module.stdout.close()
        module.wait(60)
