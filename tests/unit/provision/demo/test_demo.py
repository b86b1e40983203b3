"""What the demo asks for before it begins."""

import pytest

from provision.demo import pipeline
from provision.demo.demo import demo
from provision.errors import OptionError, ProvisionError


def test_what_the_demo_lacks_is_told_before_anything_is_installed(ran, monkeypatch, tmp_path):
    with pytest.raises(OptionError) as refused:
        demo(tmp_path / "demo", data="head")
    assert refused.value.code == "bad-value" and "'head'" in refused.value.message
    monkeypatch.setattr(pipeline, "_EXTRA", ("no_such_package",))
    with pytest.raises(ProvisionError) as failed:
        demo(tmp_path / "demo")
    assert failed.value.code == "missing-packages" and "no_such_package" in failed.value.message
    assert ran == {}
