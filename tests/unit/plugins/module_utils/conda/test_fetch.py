"""Packages fetched several at once, verified, kept by their digests, and asked of the network only once."""

import hashlib
import json
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import channel
import pytest

from plugins.module_utils.provision.conda import fetch
from plugins.module_utils.provision.conda.lock import LockError, read_lock
from plugins.module_utils.provision.download import DownloadError


class Files(SimpleHTTPRequestHandler):
    """The files of a channel, counted."""

    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Yield the address of a server for the folder ``served``."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "served/channel").mkdir(parents=True)
    Files.asked.clear()
    handler = partial(Files, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def lock(tmp_path, served):
    """Return the lock of a tool and a library on that server."""
    place = tmp_path / "served/channel"
    entries = [channel.made(place, name, {f"lib/{name}": os.urandom(1000)}) for name in ("libx", "tool")]
    for entry in entries:
        entry["url"] = f"{served}/channel/linux-64/{Path(entry['url']).name}"
    return channel.lock("tool", *entries)


def fetched(lock, place, store="store", **more):
    store = str(place / store) if store else ""
    return fetch.fetch_all(read_lock(lock), store, str(place / "cache"), **more)


def test_packages_come_in_the_order_of_the_lock_and_their_bytes_are_told(tmp_path, lock):
    told = []
    paths = fetched(lock, tmp_path, tell=lambda *done: told.append(done))
    sizes = [entry["size"] for entry in lock["packages"]]
    assert [Path(path).name for path in paths] == [f"{entry['sha256']}.conda" for entry in lock["packages"]]
    assert told[-1][:2] == (sum(sizes), sum(sizes))


def test_what_the_store_keeps_needs_no_network(tmp_path, lock):
    fetched(lock, tmp_path)
    fetch.forget(read_lock(lock), str(tmp_path / "store"), str(tmp_path / "cache"))
    assert os.listdir(tmp_path / "cache") == []
    Files.asked.clear()
    assert all(str(tmp_path / "store") in path for path in fetched(lock, tmp_path)) and Files.asked == []


def test_what_another_host_has_is_not_asked_of_the_channel_and_is_verified_all_the_same(tmp_path, lock, served):
    near = tmp_path / "served/near"
    near.mkdir()
    for path in fetched(lock, tmp_path, store="theirs"):
        (near / Path(path).name).write_bytes(Path(path).read_bytes())
    wrong, missing = (near / f"{entry['sha256']}.conda" for entry in lock["packages"])
    Files.asked.clear()
    fetch.forget(read_lock(lock), "", str(tmp_path / "cache"))
    fetched(lock, tmp_path, store="first", near=f"{served}/near")
    assert {path.split("/")[1] for path in Files.asked} == {"near"}
    wrong.write_bytes(b"other")
    missing.unlink()
    fetch.forget(read_lock(lock), "", str(tmp_path / "cache"))
    fetched(lock, tmp_path, store="second", near=f"{served}/near")
    assert sum(path.startswith("/channel/") for path in Files.asked) == 2
    assert len(list((tmp_path / "second/packages").iterdir())) == 2


def test_without_a_store_nothing_stays(tmp_path, lock):
    fetched(lock, tmp_path, store="")
    fetch.forget(read_lock(lock), "", str(tmp_path / "cache"))
    assert [path for path in tmp_path.rglob("*.conda") if "served" not in path.parts] == []


def test_a_store_that_is_the_cache_keeps_them(tmp_path, lock):
    paths = fetched(lock, tmp_path, store="cache")
    fetch.forget(read_lock(lock), str(tmp_path / "cache"), str(tmp_path / "cache"))
    assert all(map(os.path.exists, paths))


def test_a_damaged_package_of_the_store_is_fetched_again(tmp_path, lock):
    kept = Path(fetched(lock, tmp_path)[0])
    stored = tmp_path / "store/packages" / kept.name
    stored.write_bytes(bytes(lock["packages"][0]["size"]))
    fetch.forget(read_lock(lock), str(tmp_path / "store"), str(tmp_path / "cache"))
    again = fetched(lock, tmp_path)
    assert hashlib.sha256(Path(again[0]).read_bytes()).hexdigest() == lock["packages"][0]["sha256"]
    assert hashlib.sha256(stored.read_bytes()).hexdigest() == lock["packages"][0]["sha256"]


def test_a_store_that_cannot_be_written_is_no_failure(tmp_path, lock):
    (tmp_path / "store").write_text("a file")
    assert all(map(os.path.exists, fetched(lock, tmp_path)))


def test_a_mirror_has_them_by_channel_platform_and_file(tmp_path, lock, served):
    for entry in lock["packages"]:
        entry["url"] = "https://conda.invalid" + entry["url"].removeprefix(served)
    assert all(map(os.path.exists, fetched(lock, tmp_path, mirror=served + "/")))
    assert all(map(os.path.exists, fetched(lock, tmp_path / "2", mirror=str(tmp_path / "served"))))


@pytest.mark.parametrize("kind", ["packages", "packages.conda"])
def test_the_index_of_the_channel_has_the_digest_that_the_lock_lacks(tmp_path, lock, kind):
    entry = lock["packages"][1]
    file, sha256 = Path(entry["url"]).name, entry.pop("sha256")
    entry["md5"] = hashlib.md5((tmp_path / "served/channel/linux-64" / file).read_bytes()).hexdigest()
    (tmp_path / "served/channel/linux-64/repodata.json").write_text(json.dumps({kind: {file: {"sha256": sha256}}}))
    assert Path(fetched(lock, tmp_path)[1]).name == f"{entry['md5']}.conda"
    Files.asked.clear()
    fetched(lock, tmp_path)
    assert Files.asked == []  # not even for the digest


@pytest.mark.parametrize("index", ["{", "[]", "{}", '{"packages": {}}', '{"packages.conda": {"tool-1.0-0.conda": {}}}'])
def test_a_package_whose_digest_nobody_knows_is_refused(tmp_path, lock, index):
    entry = lock["packages"][1]
    entry.update(md5="0" * 32, sha256=None)
    (tmp_path / "served/channel/linux-64/repodata.json").write_text(index)
    with pytest.raises(LockError) as caught:
        fetched(lock, tmp_path)
    assert caught.value.code == "no-checksum"


def test_a_package_with_another_md5_than_the_lock_is_refused_and_not_kept(tmp_path, lock):
    lock["packages"][1]["md5"] = "0" * 32
    with pytest.raises(DownloadError) as caught:
        fetched(lock, tmp_path)
    assert caught.value.code == "wrong-checksum"
    assert not list(tmp_path.glob(f"*/packages/{lock['packages'][1]['sha256']}*.conda"))


@pytest.mark.parametrize(
    "changes, code",
    [({"sha256": "0" * 64}, "wrong-checksum"), ({"size": 5}, "too-large"), ({"url": "gone"}, "http-error")],
)
def test_one_bad_package_is_refused_by_name(tmp_path, lock, served, changes, code):
    if "url" in changes:
        changes = {"url": f"{served}/channel/linux-64/gone.conda"}
    lock["packages"][0].update(changes)
    with pytest.raises(DownloadError) as caught:
        fetched(lock, tmp_path)
    assert caught.value.code == code and "linux-64" in caught.value.message
