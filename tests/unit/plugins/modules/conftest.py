"""What the tests of modules stand on."""

import pytest

from .built_tree import _shell_scripts_are_compiled, given, shelf, tree, wanted  # noqa: F401


@pytest.fixture(autouse=True)
def as_on_a_machine(monkeypatch):
    """Have modules warn in their answers, whatever of Ansible's own side another test of this process has imported."""
    internal = pytest.importorskip("ansible.module_utils._internal")
    monkeypatch.setattr(internal, "is_controller", False)
