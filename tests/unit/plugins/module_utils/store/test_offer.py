"""An archive that one machine gives to others, here both in one place."""

import os
import socket
import time
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import pytest
from waiting import wait_until

from plugins.module_utils.provision.alive import alive, process
from plugins.module_utils.provision.reading import sha256_of
from plugins.module_utils.provision.store import offer as offering
from plugins.module_utils.provision.store.errors import StoreError

from .packed import pack, visible


@pytest.fixture
def offered(prefix, tmp_path, monkeypatch):
    """What a host offers, for as long as the test takes."""
    monkeypatch.setenv("no_proxy", "*")
    path = pack(prefix, tmp_path / "there")["archive"]
    server = offering.offer(path)
    server["addresses"] = ["127.0.0.1"]
    yield {"archive": path, "name": os.path.basename(path), "sha256": sha256_of(path), "host": "one", **server}
    offering.withdraw(server["pid"], server["start"])


def got(offered, secret):
    opener = build_opener(ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{offered['port']}/{secret}", timeout=30) as answer:
        return answer.read()


def has_ended(offered):
    wait_until(lambda: not alive(process(offered["pid"])), seconds=30)
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", offered["port"])) != 0


def taken(offered, tmp_path, store="here"):
    found = offering.take(offered, store and str(tmp_path / store), str(tmp_path / "cache"))
    return (os.path.relpath(found[0], tmp_path), *found[1:])


def test_it_is_given_to_those_who_know_the_secret_and_to_nobody_after_it_was_withdrawn(offered):
    with open(offered["archive"], "rb") as file:
        assert got(offered, offered["secret"]) == file.read()
    for wrong in ("", "x", offered["secret"][:-1], f"{offered['secret']}/../"):
        with pytest.raises(HTTPError):
            got(offered, wrong)
    offering.withdraw(offered["pid"], offered["start"] + 1)  # another process of that number
    assert got(offered, offered["secret"])
    offering.withdraw(offered["pid"], offered["start"])
    assert has_ended(offered)


def test_of_a_folder_only_the_files_named_are_given_to_those_who_know_the_secret(tmp_path):
    for name in ("one", "two", "three"):
        (tmp_path / name).write_text(name)
    server = offering.offer(tmp_path, ["one", "two"])
    assert [got(server, f"{server['secret']}/{name}") for name in ("one", "two")] == [b"one", b"two"]
    for wrong in ("one", f"{server['secret'][:-1]}x/one", *(f"{server['secret']}{end}" for end in ("", "/", "/three"))):
        with pytest.raises(HTTPError):
            got(server, wrong)
    offering.withdraw(server["pid"], server["start"])


def test_a_large_archive_arrives_whole_also_at_two_that_take_their_time(tmp_path):
    path, opener = tmp_path / "large", build_opener(ProxyHandler({}))
    path.write_bytes(os.urandom(1 << 16) * 256)
    server = offering.offer(path)
    url = f"http://127.0.0.1:{server['port']}/{server['secret']}"
    with opener.open(url, timeout=30) as one, opener.open(url, timeout=30) as other:
        time.sleep(0.2)  # by now, no buffer takes more
        assert one.read() == path.read_bytes() == other.read()
    offering.withdraw(server["pid"], server["start"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_the_server_of_root_has_none_of_roots_rights(offered):
    with open(f"/proc/{offered['pid']}/status", encoding="ascii") as file:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    assert set(fields["Uid"].split()) == {"65534"} and int(fields["CapEff"], 16) == 0
    assert os.readlink(f"/proc/{offered['pid']}/fd/1") == os.devnull


def test_a_server_that_nobody_asks_ends_by_itself(prefix, tmp_path, monkeypatch):
    monkeypatch.setattr(offering, "SECONDS_IDLE", 0.1)
    assert has_ended(offering.offer(pack(prefix, tmp_path / "there")["archive"]))


def test_what_is_taken_is_checked_and_kept_in_the_own_store(offered, tmp_path):
    assert taken(offered, tmp_path) == (f"here/{offered['name']}", "host", "")
    assert sha256_of(tmp_path / "here" / offered["name"]) == offered["sha256"]
    assert visible(tmp_path / "here") == sorted([offered["name"], offered["name"].replace(".tar.zst", ".json")])
    assert not os.listdir(tmp_path / "cache")


def test_a_store_that_both_have_is_enough(offered, tmp_path):
    offering.withdraw(offered["pid"], offered["start"])
    assert taken(offered, tmp_path, "there") == (f"there/{offered['name']}", "store", "")


def test_what_was_sent_is_taken_where_the_other_host_is_out_of_reach(offered, tmp_path):
    (tmp_path / "cache").mkdir()
    os.link(offered["archive"], tmp_path / "cache" / offered["sha256"])
    assert taken({**offered, "addresses": []}, tmp_path) == (f"here/{offered['name']}", "controller", "")


def test_without_a_store_it_stays_where_it_was_downloaded_to(offered, tmp_path):
    assert taken(offered, tmp_path, "") == (f"cache/{offered['sha256']}", "host", "")


def test_a_store_that_cannot_keep_it_is_told_and_the_archive_is_used_all_the_same(offered, tmp_path):
    (tmp_path / "here").write_text("")
    path, came, why = taken(offered, tmp_path)
    assert (path, came) == (f"cache/{offered['sha256']}", "host") and "here" in why


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sha256": "0" * 64}, "unreachable"), ({"sha256": "../../x"}, "usage"), ({"addresses": []}, "unreachable"),
        ({"secret": "guessed"}, "unreachable"), ({"port": 1}, "unreachable"),
    ],
)  # fmt: skip
def test_what_is_not_what_was_offered_is_not_taken_and_nothing_stays(offered, tmp_path, changes, code):
    with pytest.raises(StoreError) as raised:
        taken({**offered, **changes}, tmp_path)
    assert raised.value.code == code and offered["secret"] not in raised.value.message
    assert not list((tmp_path / "cache").glob("*")) and not (tmp_path / "here").exists()
