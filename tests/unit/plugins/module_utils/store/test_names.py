"""What builds are called, and how one that is broken loses its name."""

import errno
import re

import pytest

from plugins.module_utils.provision.store.names import key_of, set_aside
from plugins.module_utils.provision.store.read import read_archive

from .packed import KEY, MANIFEST, failing, pack


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, KEY),
        ({"release": "ubuntu-22.04"}, "mrtrix3-3.0.8-ubuntu22.04-x86_64-x86-64-v3"),
        ({"version": "feature/x y"}, "mrtrix3-feature-x-y-debian12-x86_64-x86-64-v3-from6770e4c9"),
        ({"version": "../../etc"}, "mrtrix3-..-..-etc-debian12-x86_64-x86-64-v3-from024dc957"),
        ({"cpu": ""}, "mrtrix3-3.0.8-debian12-x86_64-default"),
        ({"belongs_to": "mrtrix3-3.0.4"}, "mrtrix3-3.0.8-mrtrix3-3.0.4-debian12-x86_64-x86-64-v3"),
    ],
)
def test_a_name_says_what_it_is_and_has_no_odd_letters(changes, key):
    assert key_of({**MANIFEST, **changes}) == key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"version": "feature/x"}, {"version": "feature-x"}),
        ({"version": "dev", "repo": "here"}, {"version": "dev", "repo": "there"}),
        ({"cpu": "native", "cpu_flags": ["avx"]}, {"cpu": "native", "cpu_flags": ["avx", "avx512f"]}),
    ],
    ids=["branches", "repositories", "processors"],
)
def test_builds_that_are_not_the_same_have_not_the_same_name(one, other):
    assert key_of({**MANIFEST, **one}) != key_of({**MANIFEST, **other})


def test_a_build_of_some_commands_has_a_mark_for_which(prefix, shelf):
    some = key_of({**MANIFEST, "complete": False, "asked": ["mrinfo", "tckgen"]})
    assert re.fullmatch(f"{re.escape(KEY)}-only[0-9a-f]{{8}}", some)
    assert some == key_of({**MANIFEST, "complete": False, "asked": ["tckgen", "mrinfo"]})
    assert some != key_of({**MANIFEST, "complete": False, "asked": ["mrinfo"]})
    packed = pack(prefix, shelf, complete=False, asked=["mrinfo", "tckgen"])
    assert packed["archive"] == str(shelf / f"{some}.tar.zst")


def test_an_archive_that_cannot_be_set_aside_stays(prefix, shelf):
    packed = pack(prefix, shelf)
    with failing(shelf, errno.EROFS, 0, looks=False):
        assert set_aside(packed["archive"]) == packed["archive"]
    assert read_archive(packed["archive"])["version"] == "3.0.8"
