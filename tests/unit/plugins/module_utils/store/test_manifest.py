"""What a manifest may say."""

import json
from pathlib import Path

import pytest

from plugins.module_utils.provision.store import manifest as manifests
from plugins.module_utils.provision.store import pack as packing
from plugins.module_utils.provision.store.errors import StoreError

from .packed import MANIFEST, crafted, frame_of, plain, refuse, tar_of, told


def test_a_manifest_with_something_missing_is_not_packed(prefix, shelf):
    with pytest.raises(StoreError) as caught:
        packing.pack(str(prefix), str(shelf), {name: MANIFEST[name] for name in MANIFEST if name != "glibc"})
    assert caught.value.code == "not-a-build" and "'glibc'" in caught.value.message
    assert not shelf.exists()


@pytest.mark.parametrize("name", sorted(manifests._FIELDS))
def test_a_manifest_of_other_types_is_refused(shelf, tmp_path, name):
    path = crafted(shelf)
    for wrong in ({}, None):
        manifest = {**told([]), name: wrong}
        Path(path).write_bytes(frame_of(tar_of(plain(manifests.MANIFEST, json.dumps(manifest).encode()))))
        refuse(path, tmp_path, "not-a-build", f"'{name}'")


@pytest.mark.parametrize("changes", [{"complete": False, "asked": [1, 2]}, {"commands": [[]]}, {"cpu_flags": 3}])
def test_a_manifest_with_other_things_in_its_lists_is_refused(shelf, tmp_path, changes):
    path = crafted(shelf)
    manifest = {**told([]), **changes}
    Path(path).write_bytes(frame_of(tar_of(plain(manifests.MANIFEST, json.dumps(manifest).encode()))))
    refuse(path, tmp_path, "not-a-build", f"'{list(changes)[-1]}'")
