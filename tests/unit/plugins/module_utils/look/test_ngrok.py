"""What the probe finds out for the role ngrok."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from plugins.module_utils.provision import notes, places
from plugins.module_utils.provision.look import connection as connection
from plugins.module_utils.provision.look import login
from plugins.module_utils.provision.look import ngrok as look
from provision.engine import content

from .public_keys import KEY, OTHER

ROOT = content.root()
TOKEN = "2Nq9771bPxe8ctg7LKr_2ClH7Y15Zqe4bWLWF9p"
HERE, PUBLIC = ("127.0.0.1", 2222), ("1.tcp.eu.ngrok.io", 12345)
URL = "tcp://1.tcp.eu.ngrok.io:12345"
WANTED = {
    "port": 2222, "remote_addr": "", "region": "", "server_addr": "", "root_cas": "", "max_seconds": 43200,
    "agent_path": "", "download_url": "", "sha256": "", "accept_colab_policy": False,
    "token_mark": look.token_mark(TOKEN), "state": "started",
}  # fmt: skip


class Place:
    """A machine on which an endpoint is open."""

    def __init__(self, folder: Path) -> None:
        self.machine = {"state": str(folder), "root": False}
        self.folder = folder / "ngrok"
        self.folder.mkdir(parents=True)
        self.keys = {HERE: KEY, PUBLIC: KEY}
        self.pid = 4711
        self.keep_token(TOKEN)
        self.note(expires="")

    def keep_token(self, token: str) -> None:
        (self.folder / "ngrok.yml").write_text(json.dumps({"version": 3, "agent": {"authtoken": token}}))

    def note(self, **changes: object) -> None:
        report = look.ngrok_report(URL, "", 2222, KEY) | changes
        noted = {name: value for name, value in WANTED.items() if name != "state"}
        (self.folder.parent / "ngrok.json").write_text(json.dumps({"wanted": noted, "report": report}))

    def look(self, **wishes: object) -> dict:
        return look.look_at({**WANTED, **wishes}, self.machine)


@pytest.fixture
def place(tmp_path, monkeypatch):
    for module in (places, look):
        monkeypatch.setattr(module, "state_folder", lambda: str(tmp_path / "state"))
    monkeypatch.setattr(connection, "on_colab", lambda: False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    place = Place(tmp_path / "state")
    monkeypatch.setattr(look, "running", lambda pid_file: place.pid)
    monkeypatch.setattr(look, "offered_key", lambda host, port, seconds=5: place.keys.get((host, port), ""))
    return place


def install(path: Path, version: str, *, program: bool = False) -> None:
    """Make an agent that tells its version; a program, where a script would not do, tells it by its file's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho ngrok version {version}\n")
    path.chmod(0o755)


def test_an_address_that_answers_with_our_host_key_is_open(place):
    found = place.look()
    assert found["converged"] and found["report"]["url"] == URL


def test_status_tells_whether_it_still_is(place):
    report = notes.read_state("ngrok")["report"]
    assert look.now("ngrok", report) == {"state": "stopped", "works": False}
    (place.folder / "ngrok.pid").touch()
    assert look.now("ngrok", report) == {"state": "started", "works": True}
    place.keys[PUBLIC] = OTHER
    lost = look.now("ngrok", report)
    assert (lost["state"], lost["works"]) == ("started", False) and URL in lost["problem"]


def test_a_token_is_there_as_long_as_the_agent_has_it(place):
    assert look.has_token()
    (place.folder / "ngrok.yml").unlink()
    assert not look.has_token()


def test_the_token_kept_on_the_machine_need_not_be_given_again(place):
    assert place.look(token_mark="")["converged"]


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda place: (place.folder.parent / "ngrok.json").unlink(), "no address"),
        (lambda place: place.keep_token(TOKEN[:-1] + "q"), "token"),
        (lambda place: (place.folder / "ngrok.yml").unlink(), "token"),
        (lambda place: setattr(place, "pid", 0), "agent"),
        (lambda place: (setattr(place, "pid", 0), place.note(expires="2026-01-01T00:00:00Z")), "time"),
        (lambda place: place.keys.pop(HERE), "2222"),
        (lambda place: place.keys.pop(PUBLIC), URL),
        (lambda place: place.keys.update({PUBLIC: OTHER}), URL),
        (lambda place: place.keys.update({PUBLIC: OTHER, HERE: OTHER}), "user or host key"),
        (lambda place: place.note(command="ssh ada@1.tcp.eu.ngrok.io"), "user or host key"),
    ],
)
def test_what_has_drifted_is_told(place, spoil, word):
    spoil(place)
    found = place.look()
    assert not found["converged"] and word in found["drift"]


def test_the_port_is_that_of_the_role_sshd_unless_told_otherwise(place):
    assert place.look(port=0)["converged"]
    (place.folder.parent / "sshd.json").write_text(json.dumps({"wanted": {"port": 2200}, "report": {"user": "ada"}}))
    found = place.look(port=0)
    assert found["port"] == 2200 and "ngrok_port" in found["drift"]


@pytest.mark.parametrize("name", look.OPTIONS)
def test_another_wish_is_another_endpoint(place, name):
    assert place.look(**{name: 4 if isinstance(WANTED[name], int) else "x"})["drift"].startswith(f"ngrok_{name} ")


def test_another_token_is_another_endpoint(place):
    assert "token" in place.look(token_mark=look.token_mark("another"))["drift"]


def test_the_answer_holds_no_token(place):
    place.pid = 0
    assert TOKEN not in json.dumps(place.look())


def of_role(authtoken: object, *names: str) -> list:
    """Return what variables of the role are for a token that is given."""
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar, trust_as_template

    role = yaml.safe_load((ROOT / "roles/ngrok/vars/main.yml").read_text())
    known = {**role, "mark": role["__ngrok_wanted"]["token_mark"]}
    known = {name: trust_as_template(known[name]) for name in ("__ngrok_token", "__ngrok_refusal", "mark")}
    templar = Templar(loader=DataLoader(), variables={**known, "ngrok_authtoken": authtoken, "__ngrok_look": {}})
    return [templar.template(known[name]) for name in names]


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        " {}\n",
        '"{}"',
        "'{}'",
        "authtoken: {}",
        "authtoken:{}",
        'authtoken: "{}"',
        "ngrok config add-authtoken {}",
        "$ ngrok config add-authtoken {}",
        "./ngrok authtoken {}",
        "NGROK_AUTHTOKEN={}",
        "export NGROK_AUTHTOKEN='{}'",
    ],
)
def test_of_what_is_copied_from_ngrok_s_pages_the_token_is_taken(form):
    token, refusal, mark = of_role(form.format(TOKEN), "__ngrok_token", "__ngrok_refusal", "mark")
    assert (token, refusal, mark) == (TOKEN, [], look.token_mark(TOKEN)) and len(mark) == 12


@pytest.mark.parametrize("given", ["two words", "authtoken:", " ", "\u200b" + TOKEN, "line\nline", "''"])
def test_what_is_no_token_is_refused_without_being_shown(given):
    (refusal,) = of_role(given, "__ngrok_refusal")
    assert refusal[2] == "bad-value" and "ngrok_authtoken" in refusal[0] and TOKEN not in "".join(refusal)


@pytest.mark.parametrize("given", ["", None])
def test_no_token_is_none(given):
    assert of_role(given, "__ngrok_token", "__ngrok_refusal", "mark") == ["", [], ""]


@pytest.mark.parametrize(
    ("wish", "code", "value"),
    [
        ({"port": 65536}, "bad-value", "65536"),
        ({"max_seconds": -1}, "bad-value", "ngrok_max_seconds"),
        ({"remote_addr": "12345"}, "bad-value", "ngrok_remote_addr"),
        ({"server_addr": "tcp://a:1"}, "bad-value", "ngrok_server_addr"),
        ({"region": "eu\nauthtoken: x"}, "bad-value", "ngrok_region"),
        ({"region": "eu", "server_addr": "a:1"}, "given-twice", "ngrok_server_addr"),
        ({"root_cas": "/nowhere/ca.pem"}, "no-file", "/nowhere/ca.pem"),
        ({"download_url": "file:///etc/ngrok.tgz"}, "bad-url", "ngrok_download_url"),
        ({"download_url": "http://mirror.example.org/ngrok.tgz"}, "not-encrypted", "ngrok_sha256"),
        ({"sha256": "abc"}, "bad-value", "ngrok_sha256"),
        ({"agent_path": "/nowhere/ngrok"}, "agent-does-not-run", "/nowhere/ngrok"),
        ({"port": 2223}, "no-ssh-server", "2223"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_what_to_do(place, wish, code, value):
    problem, hint, kind = place.look(**wish)["problem"]
    assert kind == code and value in f"{problem} {hint}" and "\n" not in problem and hint


def test_sound_wishes_are_no_problem(place):
    place.pid = 0
    assert place.look(region="eu", remote_addr="1.tcp.eu.ngrok.io:12345", root_cas="host")["problem"] == []


def test_without_a_token_anywhere_one_is_asked_for(place):
    (place.folder / "ngrok.yml").unlink()
    _problem, hint, code = place.look(token_mark="")["problem"]
    assert code == "no-token" and "ngrok_authtoken" in hint


@pytest.mark.parametrize("url", ["https://a/ngrok.tgz", "http://127.0.0.1:80/ngrok.tgz", "http://localhost/ngrok.zip"])
def test_what_nobody_can_have_changed_on_the_way_may_be_downloaded(place, url):
    assert place.look(download_url=url)["problem"] == []
    assert place.look(download_url="http://a/ngrok.tgz", sha256="a" * 64)["problem"] == []


def test_a_look_in_check_mode_leaves_out_what_the_run_would_have_made_or_asked_for_by_then(place, monkeypatch):
    monkeypatch.setattr(connection, "on_colab", lambda: True)
    (place.folder / "ngrok.yml").unlink()
    assert place.look(port=2223, token_mark="", can_ask=True, server_comes=True)["problem"] == []
    for name in ("can_ask", "server_comes"):
        wish = {"port": 2223, "token_mark": "", "can_ask": True, "server_comes": True, name: False}
        assert place.look(**wish)["problem"]


@pytest.mark.parametrize("state", ["{}", '{"report": {"url": "tcp://a:1"}}', '{"wanted": {}, "report": {}}', "[]", "x"])
def test_notes_that_are_broken_are_told_as_that_and_opened_anew(place, state):
    (place.folder / "ngrok.pid").touch()
    (place.folder.parent / "ngrok.json").write_text(state)
    report = notes.read_state("ngrok").get("report", {})
    found = look.now("ngrok", report)
    assert (found["state"], found["works"], "lost" in found["problem"]) == ("started", False, True)
    assert place.look()["drift"]


def test_on_colab_it_is_said_what_its_terms_allow(place, monkeypatch):
    monkeypatch.setattr(connection, "on_colab", lambda: True)
    place.pid = 0
    _problem, hint, code = place.look()["problem"]
    assert code == "declined" and "ngrok_accept_colab_policy=true" in hint
    assert place.look(accept_colab_policy=True)["problem"] == []


def test_an_agent_that_is_named_is_the_one(place, tmp_path):
    install(tmp_path / "mine", "2.3.41")
    agent = place.look(agent_path=str(tmp_path / "mine"))["agent"]
    assert agent == {"path": str(tmp_path / "mine"), "version": "2.3.41"}


def test_relative_paths_start_from_the_users_folder(place, tmp_path):
    install(tmp_path / "mine", "3.39.10")
    (tmp_path / "ca.pem").touch()
    found = place.look(agent_path="mine", root_cas="ca.pem", folder=str(tmp_path))
    assert (found["agent"]["path"], found["root_cas"]) == (str(tmp_path / "mine"), str(tmp_path / "ca.pem"))
    assert place.look(root_cas="host", folder=str(tmp_path))["root_cas"] == "host"


def test_an_agent_that_is_too_old_is_not_used(place, tmp_path):
    install(tmp_path / "old", "2.2.8")
    problem, hint, code = place.look(agent_path=str(tmp_path / "old"))["problem"]
    assert code == "agent-too-old" and "2.2.8" in problem and "ngrok_agent_path" in hint


@pytest.mark.parametrize(("version", "used"), [("3.39.10", True), ("2.3.41", False)])
def test_an_agent_on_path_is_used_when_the_service_may_take_it(place, tmp_path, monkeypatch, version, used):
    install(tmp_path / "bin/ngrok", version)
    monkeypatch.setattr(look, "is_elf", lambda path: True)
    place.pid = 0
    assert bool(place.look()["agent"]["path"]) == used


def test_the_script_of_pyngrok_on_path_is_no_agent(place, tmp_path):
    install(tmp_path / "bin/ngrok", "3.39.10")
    install(place.folder / "agent/ngrok", "3.38.0")
    place.pid = 0
    assert place.look()["agent"] == {"path": str(place.folder / "agent/ngrok"), "version": "3.38.0"}


def test_who_logs_in_is_the_user_of_the_server_at_that_port(place, tmp_path):
    (tmp_path / "state/sshd.json").write_text(json.dumps({"wanted": {"port": 2222}, "report": {"user": "ada"}}))
    assert look.user_of(2222) == "ada"
    assert look.user_of(22) == login.user_name()


def test_absent_is_converged_where_nothing_is(place):
    assert not place.look(state="absent")["converged"]
    (place.folder / "ngrok.yml").unlink()
    place.folder.rmdir()
    (place.folder.parent / "ngrok.json").unlink()
    assert place.look(state="absent")["converged"]
