"""How ngrok's agent is downloaded: no more than it may be, from nobody in between, whole or not at all."""

from __future__ import annotations

import io
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from plugins.modules import ngrok_agent as agent


class Failed(Exception):
    """What a module says when it fails."""


class Module:
    """Stands in for Ansible's."""

    def __init__(self, **params: str) -> None:
        self.params = {"url": "", "sha256": "", "machine": "m68k", **params}

    def fail_json(self, **said: str) -> None:
        raise Failed(said)


class Answers(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        status, headers, body = self.server.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    answer: tuple = (200, {}, b"")


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Answers) as server:
        server.url = f"http://127.0.0.1:{server.server_address[1]}/ngrok.tgz"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def archive(form: str, name: str = "ngrok", text: bytes = b"#!/bin/sh\necho ngrok version 3.39.10\n") -> bytes:
    packed = io.BytesIO()
    if form == "zip":
        with zipfile.ZipFile(packed, "w") as file:
            file.writestr(name, text)
    else:
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return packed.getvalue()


@pytest.mark.parametrize("form", ["tgz", "zip"])
def test_an_agent_is_unpacked_on_every_python(server, tmp_path, monkeypatch, form):
    monkeypatch.delattr(tarfile, "data_filter", raising=False)  # as before 3.9.17, 3.10.12 and 3.11.4
    server.answer = (200, {}, archive(form))
    path = agent.fetch(Module(url=server.url, machine=agent.platform.machine()), str(tmp_path))
    assert agent.agent_version(path) == "3.39.10"


GOOD = archive("tgz")


@pytest.mark.parametrize(
    ("answer", "code", "value"),
    [
        ((404, {}, b""), "agent-not-downloaded", "Not Found"),
        ((200, {"Content-Length": "99999"}, GOOD), "cut-off", "99999"),
        ((200, {"Content-Length": str(1 << 40)}, b""), "too-large", str(agent._LARGEST)),
        ((302, {"Location": "http://192.0.2.1/ngrok.tgz"}, b""), "not-encrypted", "http://192.0.2.1/ngrok.tgz"),
        ((302, {"Location": "file:///etc/passwd"}, b""), "agent-not-downloaded", ""),
        ((200, {}, b"<html>Sign in</html>"), "bad-archive", "/ngrok.tgz"),
        ((200, {}, GOOD[:80]), "bad-archive", "/ngrok.tgz"),
        ((200, {}, archive("tgz", name="README")), "bad-archive", "/ngrok.tgz"),
        ((200, {}, archive("tgz", name="../ngrok")), "bad-archive", "/ngrok.tgz"),
        ((200, {}, archive("zip", name="README")), "bad-archive", "/ngrok.tgz"),
        ((200, {}, archive("tgz", text=b"#!/bin/sh\nexit 1\n")), "agent-does-not-run", ""),
    ],
)
def test_what_is_no_whole_agent_is_refused_and_says_why(server, tmp_path, answer, code, value):
    server.answer = answer
    with pytest.raises(Failed) as failed:
        agent.fetch(Module(url=server.url, machine=agent.platform.machine()), str(tmp_path))
    (said,) = failed.value.args
    assert said["code"] == code and value in said["msg"] and said["hint"] and "\n" not in said["msg"]
    assert not (tmp_path.parent / "ngrok").exists()


def test_another_file_than_the_one_wanted_is_refused_before_it_is_unpacked(server, tmp_path):
    server.answer = (200, {}, GOOD)
    with pytest.raises(Failed) as failed:
        agent.fetch(Module(url=server.url, sha256="a" * 64), str(tmp_path))
    assert failed.value.args[0]["code"] == "wrong-checksum" and not (tmp_path / "unpacked").exists()


def test_a_download_without_end_is_given_up(server, tmp_path, monkeypatch):
    server.answer = (200, {}, b"x" * 500_000)
    monkeypatch.setattr(agent, "_LARGEST", 100_000)
    with pytest.raises(Failed) as failed:
        agent.fetch(Module(url=server.url), str(tmp_path))
    assert failed.value.args[0]["code"] == "too-large"


def test_a_password_in_an_address_is_not_shown(server, tmp_path):
    server.answer = (404, {}, b"")
    url = server.url.replace("127.0.0.1", "127.0.0.1.invalid").replace("http://", "https://me:secret@")
    with pytest.raises(Failed) as failed:
        agent.fetch(Module(url=f"{url}?key=secret"), str(tmp_path))
    assert "secret" not in str(failed.value)


def test_the_address_that_pyngrok_knows_is_encrypted():
    for machine in agent._KINDS:
        assert agent.address(Module(machine=machine)).startswith("https://")
    with pytest.raises(Failed) as failed:
        agent.address(Module(machine="m68k"))
    assert failed.value.args[0]["code"] == "no-agent" and "m68k" in failed.value.args[0]["msg"]
