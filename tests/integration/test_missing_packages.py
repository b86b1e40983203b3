"""Where packages are missing and nobody may install them, an administrator is given one command for all of them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

import pytest
import yaml

pytest.importorskip("ansible")

from provision.engine import content
from provision.machine import system

RELEASE = system.look_at_machine()["release"]
PACKAGES = yaml.safe_load((content.root() / "roles/deps/vars/main.yml").read_text())["__deps_packages"]
AS_NOBODY = "setpriv --reuid 65534 --regid 65534 --clear-groups /usr/bin/python3"


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can ask as another user")
@pytest.mark.skipif(RELEASE not in PACKAGES, reason="the packages of this system are not known")
def test_the_packages_of_all_roles_that_were_asked_for_are_in_one_command(tmp_path, request):
    # Where no package is installed.
    (double := Path(mkdtemp(dir="/tmp"), "dpkg-query")).write_text("#!/bin/sh\nexit 1\n")
    request.addfinalizer(lambda: shutil.rmtree(double.parent))
    for path in (double, double.parent):
        path.chmod(0o755)
    asked = "{provision_roles: [deps, mrpeek], deps_groups: [run], deps_extra_packages: [sl], provision_store: none}"
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-c", "local",
         content.root() / "playbooks/site.yml", "-e", asked, "-e", f"ansible_python_interpreter='{AS_NOBODY}'"],
        capture_output=True, text=True, check=False, cwd=content.root(), env={
            **os.environ, "ANSIBLE_HOME": str(tmp_path / "home"), "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1",
            "PATH": f"{double.parent}:{os.environ['PATH']}", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        },
    )  # fmt: skip
    assert '"code": "needs-root"' in done.stdout, done.stdout + done.stderr
    command = done.stdout.partition("sudo apt-get install ")[2].partition('"')[0].split()
    groups = [*PACKAGES[RELEASE]["run"], *PACKAGES[RELEASE]["build"], *PACKAGES[RELEASE]["pictures"]]
    assert command == sorted({*groups, "sl"})
