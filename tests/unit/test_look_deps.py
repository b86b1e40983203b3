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


def test_of_an_installation_that_was_cut_off_only_what_came_with_it_is_taken_for_ours(monkeypatch):
    begun = {"who": "mrtrix3", "names": ["git", "g++"], "packages": ["bash"]}
    state = {"installed": {"sshd": ["openssh-server"], "mrtrix3": ["git", "g++"]}, "begun": begun}
    monkeypatch.setattr(look, "read_state", lambda role: state)
    # g++ did not get that far; somebody has installed sl, for which libncurses6 came.
    monkeypatch.setattr(look, "installed_packages", lambda *names: ["bash", "git", "git-man", "sl", "libncurses6"])
    monkeypatch.setattr(look, "run", lambda argv: (0, "git-man\nlibncurses6\n", ""))
    assert look.noted() == ({"sshd": ["openssh-server"], "mrtrix3": ["git", "git-man", "libncurses6"]}, True)


def test_without_one_it_is_what_was_noted(monkeypatch):
    monkeypatch.setattr(look, "read_state", lambda role: {"installed": {"deps": ["git"]}})
    assert look.noted() == ({"deps": ["git"]}, False)
