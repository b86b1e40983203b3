"""What the probe finds out for the role deps."""

import subprocess
import sys

from plugins.module_utils import provision_look_deps as look


def test_unmet_requirements_are_those_that_pip_would_install():
    wanted = ["pip", "no-such-package-at-all", "pip>=99999"]
    assert look.unmet_requirements(sys.executable, wanted) == ["no-such-package-at-all", "pip>=99999"]


def test_a_python_that_is_not_there_meets_nothing():
    assert look.unmet_requirements("/nonexistent/python", ["dipy"]) == ["dipy"]


def test_a_virtual_environment_is_not_the_distributions(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    assert not look.managed_by_distribution(str(tmp_path / "venv" / "bin" / "python"))
