"""What the checks of the network and the clock say, and that none of them is waited for long."""

from __future__ import annotations

import threading
import time

import pytest

from plugins.module_utils.provision import network, reach


def verdict(finding):
    found, _said, advice = finding
    assert bool(advice) == (found != "ok")
    return found


@pytest.mark.parametrize("name", ["apt", "pip", "git", "ngrok"])
def test_a_server_that_cannot_be_reached_is_a_warning_that_says_what_will_not_work(name):
    assert verdict(network.check_server(name, reach.Answer("a.example.org"))) == "ok"
    found = network.check_server(name, reach.Answer("a.example.org", "no answer in time"))
    assert verdict(found) == "warn" and found[1] == "a.example.org: no answer in time"
    assert network.check_server(name, None) is None


@pytest.mark.parametrize(
    ("there", "expected", "words"),
    [
        (1_800_000_010, "ok", "in agreement with servers"),
        (1_800_000_600, "warn", "10 min behind"),
        (1_799_900_000, "fail", "27 h 47 min ahead"),
        (0, "ok", "not compared with a server"),
    ],
)
def test_the_clock_is_compared_with_a_servers(there, expected, words):
    found = network.check_clock(1_800_000_000, there, newest=1_800_000_000)
    assert (verdict(found), words in found[1]) == (expected, True)


def test_a_clock_behind_what_was_written_here_is_wrong():
    assert verdict(network.check_clock(1_000_000_000, 0, newest=1_800_000_000)) == "fail"


def test_what_hangs_or_breaks_is_a_warning_in_time(monkeypatch):
    over = threading.Event()
    questions = {"git": over.wait, "apt": lambda: 1 / 0, "pip": lambda: None}
    monkeypatch.setattr(network, "_questions", lambda roles: questions)
    begin = time.monotonic()
    found = network.found(network.ask([]), begin + 0.2)
    assert time.monotonic() - begin < 5
    over.set()
    assert {name: verdict(one) for name, one in found.items()} == {
        "network: git": "warn", "network: apt": "warn", "clock": "ok"
    }  # fmt: skip


def test_ngroks_server_is_asked_where_there_is_its_role():
    assert "ngrok" in network._questions(["ngrok"]) and "ngrok" not in network._questions(["mrtrix3"])
