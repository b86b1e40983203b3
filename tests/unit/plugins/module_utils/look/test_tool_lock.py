"""What the probe finds out about a tool's lock, which only the controller can read."""

import json

import channel
import pytest

from plugins.module_utils.provision.look import mrtrix3 as look
from plugins.module_utils.provision.look import read_here

PACKAGE = {"name": "mrtrix3", "url": "https://x/c/linux-64/mrtrix3-3.0.8-0.conda", "sha256": "a" * 64, "size": 5}
LOCK = channel.lock("mrtrix3", PACKAGE, version="3.0.8")


@pytest.fixture
def seen(installation, note, tmp_path):
    """Return a function that looks at a machine whose role has a lock, or whose user has one."""
    _, _, state, wanted, machine = installation
    (tmp_path / "role").mkdir()
    (tmp_path / "role/conda.lock.json").write_text(json.dumps(LOCK))

    def ask(changed=None, given="", arch="x86_64", **wishes):
        if changed is not None:
            note("mrtrix3", {**state, "report": {**state["report"], "origin": "conda", "cpu": "x86-64"}, **changed})
        asked = {
            **wanted, "origins": ["present", "conda", "source"], "conda": {"lock": given}, "here": str(tmp_path),
            "files": str(tmp_path / "role"), **wishes,
        }  # fmt: skip
        return look.look_at(read_here({"mrtrix3": asked})["mrtrix3"], {"cpu": "x86-64-v3", **machine, "arch": arch})

    return ask


def unfit(found):
    return found["unfit"].get("conda", "")


def test_the_lock_of_the_role_is_used_unless_the_user_has_another(seen, tmp_path):
    assert seen()["lock"] == str(tmp_path / "role/conda.lock.json") and unfit(seen()) == ""
    (tmp_path / "mine.json").write_text(json.dumps(LOCK))
    assert seen(given="mine.json")["lock"] == str(tmp_path / "mine.json")


@pytest.mark.parametrize(
    ("wishes", "word"),
    [({"version": "3.0.4"}, "3.0.8"), ({"arch": "aarch64"}, "linux-aarch64"), ({"cpu": "x86-64-v3"}, "x86-64")],
)
def test_a_lock_that_has_not_what_is_wanted_is_passed_over(seen, wishes, word):
    found = seen(**wishes)
    assert word in unfit(found) and found["refusal"] == []


def test_packages_that_this_processor_cannot_run_are_passed_over(seen, tmp_path, installation):
    level = {
        **PACKAGE,
        "name": "_x86_64-microarch-level",
        "url": "https://x/c/l/_x86_64-microarch-level-4-2_x86_64_v4.conda",
    }
    (tmp_path / "mine.json").write_text(json.dumps(channel.lock("mrtrix3", PACKAGE, level, version="3.0.8")))
    machine = installation[4]
    for cpu, word in (("x86-64-v3", "x86-64-v4"), ("x86-64-v4", "")):
        machine["cpu"] = cpu
        assert word in unfit(seen(given="mine.json")) and bool(word) == bool(unfit(seen(given="mine.json")))


def test_any_version_takes_that_of_the_lock(seen):
    assert unfit(seen(version="any")) == ""


@pytest.mark.parametrize("content", [None, "{", "[]", json.dumps({**LOCK, "packages": []})])
def test_a_lock_of_the_users_that_cannot_be_used_is_refused_before_anything_happens(seen, tmp_path, content):
    if content is not None:
        (tmp_path / "mine.json").write_text(content)
    problem, hint, code = seen(given="mine.json")["refusal"]
    assert code == "bad-lock" and "mine.json" in problem and hint


def test_the_lock_of_another_tool_is_passed_over(seen, tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps(channel.lock("ants", {**PACKAGE, "name": "ants"})))
    assert "ants" in unfit(seen(given="mine.json"))


def test_packages_that_were_installed_stay_whatever_the_role_has_by_now(seen, tmp_path):
    assert seen({"lock": "another"})["converged"]
    (tmp_path / "mine.json").write_text(json.dumps(LOCK))
    assert not seen({"lock": "another"}, given="mine.json")["converged"]


def test_packages_of_another_lock_of_the_role_are_replaced(seen):
    assert seen({"lock_file": "conda.lock.json"})["converged"]
    assert not seen({"lock_file": "conda.lock.json"}, conda={"lock": "", "file": "cuda.lock.json"})["converged"]


def test_packages_are_not_moved_but_laid_out_anew(seen):
    found = seen({}, prefix="/elsewhere")
    assert not found["converged"] and not found["movable"]
