"""Locks: what is taken, and what is refused before anything is downloaded."""

import json

import pytest

from plugins.module_utils.provision.conda.lock import LockError, read_lock
from provision.engine import content

SHA256, MD5 = "a" * 64, "b" * 32
ENTRY = {"name": "tool", "url": "https://example.org/channel/linux-64/tool-1.0-0.conda", "sha256": SHA256, "size": 5}


def lock(**changes):
    return {"tool": "tool", "version": "1.0", "platform": "linux-64", "packages": [ENTRY], **changes}


def test_a_package_has_the_name_of_its_digest_and_its_place_on_a_mirror():
    (package,) = read_lock(lock()).packages
    assert package.kept == f"{SHA256}.conda"
    assert package.at("http://mirror/").url == "http://mirror/channel/linux-64/tool-1.0-0.conda"
    assert package.at("").url == ENTRY["url"]


def test_two_locks_with_other_packages_have_other_digests():
    other = lock(packages=[{**ENTRY, "sha256": "c" * 64}])
    assert read_lock(lock()).digest == read_lock(lock(version="2")).digest != read_lock(other).digest


def test_the_version_of_python_is_in_the_name_of_its_package():
    python = {**ENTRY, "name": "python", "url": "https://example.org/c/linux-64/python-3.12.5-0_cpython.conda"}
    assert read_lock(lock(packages=[python, ENTRY])).python == "3.12"
    assert read_lock(lock()).python == ""


def test_the_processor_is_the_level_that_a_package_asks_for():
    level = {
        "name": "_x86_64-microarch-level",
        "url": "https://x/c/linux-64/_x86_64-microarch-level-3-2_x86_64_v3.conda",
    }
    assert read_lock(lock(packages=[ENTRY, {**level, "sha256": SHA256}])).cpu == "x86-64-v3"
    assert (read_lock(lock()).cpu, read_lock(lock(platform="linux-aarch64")).cpu) == ("x86-64", "armv8-a")


@pytest.mark.parametrize(
    "given",
    [
        [], None, "text", {}, lock(tool=""), lock(version=3), lock(platform=None), lock(packages=[]),
        lock(packages={}), lock(packages=[ENTRY, ENTRY]), lock(packages=["x"]), lock(packages=[ENTRY] * 1001),
    ],
)  # fmt: skip
def test_what_is_no_lock_is_refused(given):
    with pytest.raises(LockError) as caught:
        read_lock(given)
    assert caught.value.code == "bad-lock" and caught.value.hint


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../x"}, {"name": ""}, {"name": 5}, {"url": "tool.conda"}, {"url": "https://x/c/linux-64/t.zip"},
        {"url": "https://x/c/linux-64/.conda/"}, {"url": "https://x/c/linux-64/a%2Fb.conda"}, {"url": None},
        {"sha256": "a" * 63}, {"sha256": "g" * 64}, {"sha256": 5}, {"sha256": None}, {"md5": "x"},
        {"size": -1}, {"size": "5"}, {"size": True}, {"size": 1 << 40},
    ],
)  # fmt: skip
def test_a_package_that_could_not_be_checked_or_named_is_refused(changes):
    with pytest.raises(LockError) as caught:
        read_lock(lock(packages=[{**ENTRY, **changes}]))
    assert caught.value.code == "bad-lock"


def test_md5_alone_is_taken_since_the_channel_knows_the_rest():
    entry = {name: value for name, value in ENTRY.items() if name not in ("sha256", "size")}
    (package,) = read_lock(lock(packages=[{**entry, "md5": MD5.upper()}])).packages
    assert (package.md5, package.sha256, package.size) == (MD5, "", 0)


@pytest.mark.parametrize(
    "path", sorted(content.root().glob("roles/*/files/conda.lock.json")), ids=lambda path: path.parts[-3]
)
def test_the_lock_of_each_role_can_be_used(path):
    lock = read_lock(json.loads(path.read_text("utf-8")))
    assert lock.tool == path.parts[-3] and all(package.url.startswith("https://") for package in lock.packages)
