"""How a person is told to get in."""

from __future__ import annotations

import pytest

from provision import Result
from provision.actions import connection
from provision.errors import ProvisionError

KEY = "ssh-ed25519 AAAAC3Nz"
SSHD = {
    "user": "root", "host": "127.0.0.1", "port": 2222, "command": "ssh -p 2222 root@127.0.0.1",
    "fingerprint": "SHA256:abc", "known_hosts": f"[127.0.0.1]:2222 {KEY}", "config": "Host provision\n    Port 2222\n",
}  # fmt: skip
NGROK = {
    **SSHD, "url": "tcp://1.tcp.example:12345", "host": "1.tcp.example", "port": 12345, "state": "started",
    "command": "ssh -p 12345 root@1.tcp.example", "known_hosts": f"[1.tcp.example]:12345 {KEY}",
    "config": "Host provision\n    Port 12345\n", "expires": "2026-11-24T03:14:00+00:00",
}  # fmt: skip


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "password"
    path.write_text("marker-of-a-password\n")
    return path


def reports(password_file=None, **more):
    sshd = {**SSHD, **({"password_file": str(password_file)} if password_file else {})}
    return {"sshd": sshd, **more}


def test_the_tunnel_is_the_way_in_before_the_server_itself():
    assert connection.way_in(reports(ngrok=NGROK))[0] == "ngrok"
    assert connection.way_in(reports())[0] == "sshd"
    assert connection.way_in({"mrtrix3": {"version": "3.0.8"}}) == ("", {})


@pytest.mark.parametrize("lost", [{"state": "stopped"}, {"state": "absent"}, {"works": False}])
def test_what_is_closed_or_lost_is_no_way_in(lost):
    assert connection.way_in({"ngrok": {**NGROK, **lost}, "sshd": SSHD})[0] == "sshd"
    assert connection.way_in({"ngrok": {**NGROK, **lost}, "sshd": {**SSHD, **lost}}) == ("", {})


def test_a_terminal_is_told_all_that_is_needed_but_no_password(password_file):
    said = "\n".join(connection.lines(reports(password_file, ngrok=NGROK)))
    for text in (
        "ssh -p 12345 root@1.tcp.example", "SHA256:abc", f"[1.tcp.example]:12345 {KEY}", "Host provision",
        "closes       2026-11-24 03:14 UTC", f"password     in {password_file}",
    ):  # fmt: skip
        assert text in said
    assert "2222" not in said and "marker" not in said


def test_a_server_that_only_this_machine_reaches_says_so():
    assert next(connection.lines(reports())).split() == ["from", "here", *SSHD["command"].split()]
    elsewhere = {"sshd": {**SSHD, "host": "node1", "command": "ssh -p 2222 root@node1"}}
    assert next(connection.lines(elsewhere)).split()[0] == "ssh"


def test_a_notebook_shows_it_in_a_box_with_the_stanza_and_no_password(password_file):
    result = Result(2, 3.0, {"localhost": reports(password_file, ngrok=NGROK)})
    shown = result._repr_html_()
    for text in (NGROK["command"], "SHA256:abc", KEY, "Host provision\n    Port 12345", "2026-11-24 03:14 UTC"):
        assert shown.count(text) == 1
    assert "provision-password" in shown and "marker" not in shown


def test_no_password_is_in_what_a_result_says_of_itself(password_file):
    result = Result(2, 3.0, {"localhost": reports(password_file, ngrok=NGROK)})
    for said in (repr(result), result._repr_html_(), str(result.to_dict()), repr(result.sshd), str(dict(result.sshd))):
        assert "marker" not in said
    assert result.sshd.password == "marker-of-a-password"


def test_the_password_is_that_of_the_moment(password_file):
    result = Result(0, 1.0, {"localhost": reports(password_file)})
    password_file.write_text("another\n")
    assert result.sshd.password == "another"


def test_a_password_that_cannot_be_read_says_why(password_file):
    result = Result(0, 1.0, {"localhost": reports(password_file)})
    password_file.unlink()
    with pytest.raises(ProvisionError) as failed:
        _ = result.sshd.password
    assert failed.value.code == "no-file" and str(password_file) in failed.value.message
    assert 'provision.run("sshd")' in failed.value.hint


def test_the_password_of_another_machine_is_not_looked_for_on_this_one(password_file):
    result = Result(0, 1.0, {"node1": reports(password_file)}, here=False)
    with pytest.raises(ProvisionError) as failed:
        _ = result.sshd.password
    assert failed.value.code == "not-here" and str(password_file) in failed.value.message


def test_with_keys_there_is_no_password():
    with pytest.raises(AttributeError, match="'password'"):
        _ = Result(0, 1.0, {"localhost": reports()}).sshd.password


def test_with_many_machines_each_is_told_by_its_name():
    result = Result(0, 1.0, {"node1": reports(), "node2": reports()}, here=False)
    assert repr(result).count("\nnode1:\n    ") == 1
    assert "Connect to node2" in result._repr_html_()


def test_nothing_that_a_machine_reports_becomes_markup_in_the_box():
    evil = dict.fromkeys(("command", "fingerprint", "known_hosts", "config", "password_file"), "<script>")
    assert "<script>" not in connection.box({"sshd": evil})


def test_the_button_asks_the_kernel_and_its_answer_is_in_no_state(password_file):
    pytest.importorskip("anywidget")
    sent = []
    widget = connection.with_button("<div></div>", lambda: password_file.read_text().strip())
    widget.send = sent.append
    widget._handle_custom_msg({}, [])
    assert sent == [{"password": "marker-of-a-password"}]
    assert "marker" not in str(widget.get_state())
    password_file.unlink()
    widget._handle_custom_msg({}, [])
    assert "No such file" in sent[1]["problem"]


def test_outside_a_notebook_there_is_no_button(password_file):
    assert Result(0, 1.0, {"localhost": reports(password_file)})._repr_mimebundle_() == {}


def test_in_a_notebook_the_box_has_a_button(password_file, monkeypatch):
    pytest.importorskip("anywidget")
    monkeypatch.setattr("provision.actions.result.in_notebook", lambda: True)
    found = Result(0, 1.0, {"localhost": reports(password_file)})._repr_mimebundle_()
    assert list(found) == ["application/vnd.jupyter.widget-view+json"]
    assert Result(0, 1.0, {"localhost": reports()})._repr_mimebundle_() == {}
