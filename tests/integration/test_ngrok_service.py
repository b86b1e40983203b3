"""The stand-in for the ngrok service, with an agent of a few lines. Real ones: tests/machine/test_ngrok_agents.py."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
from pathlib import Path

import ngrok_service.service
import pytest
from ngrok_service import Remote, Service, agents, edge, muxado

TOKEN = "2Nq9771bPxe8ctg7LKr_2ClH7Y15Zqe4bWLWF9p"
WRONG = "2Nq9771bPxe8ctg7LKr_3ClH7Y15Zqe4bWLWF9p"
TESTS = Path(__file__).parents[1]


def asynchronous(test):
    """Run a test in a loop of its own."""

    @functools.wraps(test)
    def run(**fixtures):
        asyncio.run(asyncio.wait_for(test(**fixtures), 60))

    return run


@pytest.fixture
def service(tmp_path):
    with Service(tmp_path, TOKEN) as service:
        yield service


class Agent:
    """An agent that sends back what comes through its endpoints."""

    def __init__(self, session: muxado.Session) -> None:
        self.session = session
        self.streams: list[muxado.Stream] = []
        self.asked: list[int] = []

    @classmethod
    async def connect(cls, service: Service) -> Agent:
        """Open a connection, with the certificate checked, and nothing more."""
        host, port = service.address.split(":")
        context = ssl.create_default_context(cafile=service.ca)
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        agent = cls(None)
        agent.session = muxado.Session(reader, writer, agent._serve, client=True)
        agent.session.start(agent.session.run())
        return agent

    @classmethod
    async def enter(cls, service: Service, token: str = TOKEN) -> tuple[Agent, str]:
        """Authenticate and open an endpoint; return its address, too. An agent lives for as long as it has a name."""
        agent = await cls.connect(service)
        assert (await agent.authenticate(token))["Error"] == ""
        return agent, (await agent.bind())["Opts"]["Addr"]

    async def ask(self, kind: int, request: dict) -> dict:
        stream = await self.session.open(struct.pack(">I", kind))
        await stream.write(json.dumps(request).encode())
        text = b""
        while more := await stream.read():
            text += more
        return json.loads(text)

    async def authenticate(self, token: str = TOKEN, client: str = "") -> dict:
        return await self.ask(
            edge.AUTHENTICATE, {"Version": ["2"], "ClientId": client, "Extra": {"Authtoken": token, "Version": "9"}}
        )

    async def bind(self, address: str = "", protocol: str = "tcp") -> dict:
        return await self.ask(edge.BIND, {"Id": "", "Proto": protocol, "Opts": {"Addr": address}, "Extra": {}})

    async def _serve(self, stream: muxado.Stream) -> None:
        kind = struct.unpack(">I", await stream.read_exactly(4))[0]
        self.asked.append(kind)
        if kind == edge.PROXY:
            self.streams.append(stream)
            await stream.read_exactly(struct.unpack("<q", await stream.read_exactly(8))[0])
            while data := await stream.read():
                await stream.write(data)
        await stream.finish()


async def visit(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = address.split(":")
    return await asyncio.open_connection(host, int(port))


async def echo(address: str, data: bytes) -> bytes:
    reader, writer = await visit(address)

    async def send():
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    _, back = await asyncio.gather(send(), reader.read())
    writer.close()
    return back


@contextlib.contextmanager
def ending(process):
    """End a process when the test fails in the middle."""
    try:
        yield
    finally:
        process.kill()


def can_connect(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as visitor:
        return visitor.connect_ex((host, int(port))) == 0


def test_a_frame_is_laid_out_as_the_protocol_says():
    assert muxado.frame(muxado.DATA, muxado.SYN, 3, b"\xff\xff\xff\xff") == bytes.fromhex("000004 12 00000003 ffffffff")
    assert muxado.frame(muxado.WINDOW, 0, 2, struct.pack(">I", 70000)) == bytes.fromhex("000004 20 00000002 00011170")


def test_only_who_trusts_its_authority_connects_and_by_address_or_name(service):
    port = int(service.address.split(":")[1])

    def handshake(context, name):
        with socket.create_connection(("127.0.0.1", port)) as raw, context.wrap_socket(raw, server_hostname=name):
            pass

    strict = ssl.create_default_context(cafile=service.ca)
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    handshake(strict, "127.0.0.1")
    handshake(strict, "localhost")
    # X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, x509_vfy.h
    for context, name, number in ((strict, "tunnel.example.org", 62), (ssl.create_default_context(), "127.0.0.1", 20)):
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            handshake(context, name)
        assert caught.value.verify_code == number


@asynchronous
async def test_the_right_token_gets_in_and_others_are_refused_with_the_codes_of_the_service(service):
    agent = await Agent.connect(service)
    for token, code in ((WRONG, "107"), ("slip", "105"), ("", "4018")):
        error = (await agent.authenticate(token))["Error"]
        assert error.endswith(f"\r\n\r\nERR_NGROK_{code}\r\n")
        # As the real one does: who shows such a text must take the token out.
        assert token in error
    assert service.status() == {"sessions": []}
    assert (await agent.authenticate())["Error"] == ""
    (session,) = service.status()["sessions"]
    assert session == {"client": session["client"], "version": "9", "heartbeats": 0, "endpoints": {}}


@asynchronous
async def test_sessions_are_refused_for_as_long_as_that_is_wanted(service):
    agent = await Agent.connect(service)
    service.refuse_sessions("ERR_NGROK_121", "Too old.")
    assert (await agent.authenticate())["Error"] == "Too old.\r\n\r\nERR_NGROK_121\r\n"
    service.accept_sessions()
    assert (await agent.authenticate())["Error"] == ""


@asynchronous
async def test_endpoints_are_refused_for_as_long_as_that_is_wanted(service):
    agent, address = await Agent.enter(service)
    service.refuse_endpoints("ERR_NGROK_8013", "Add a card.")
    assert (await agent.bind())["Error"] == "Add a card.\r\n\r\nERR_NGROK_8013\r\n"
    assert list(service.endpoints()) == [f"tcp://{address}"]
    service.accept_endpoints()
    assert (await agent.bind())["Error"] == ""


@asynchronous
async def test_who_has_not_authenticated_gets_no_endpoint_and_nobody_one_that_is_not_tcp(service):
    agent = await Agent.connect(service)
    assert "authenticated" in (await agent.bind())["Error"]
    await agent.authenticate()
    assert "TCP endpoints only" in (await agent.bind(protocol="http"))["Error"]
    assert service.endpoints() == {}


@asynchronous
async def test_many_windows_of_bytes_come_back_identical_over_several_connections_at_once(service):
    _agent, address = await Agent.enter(service)
    sent = [os.urandom(3 * muxado.WINDOW_SIZE + number) for number in range(4)]
    assert await asyncio.gather(*[echo(address, data) for data in sent]) == sent
    assert service.endpoints() == {f"tcp://{address}": 4}


@asynchronous
async def test_a_visitor_who_does_not_read_holds_up_nobody_else(service):
    agent, address = await Agent.enter(service)
    _, writer = await visit(address)
    # More than windows and buffers of sockets hold together, so that something must wait.
    writer.write(bytes(32 * 1024 * 1024))
    await asyncio.sleep(0.2)
    assert await echo(address, b"quick") == b"quick"
    writer.transport.abort()
    with pytest.raises(ConnectionError):
        while True:
            await agent.streams[0].write(bytes(1000))


@asynchronous
async def test_an_agent_that_comes_back_is_given_the_address_it_had(service):
    first, address = await Agent.enter(service)
    client = service.status()["sessions"][0]["client"]
    second = await Agent.connect(service)
    # Of the first session's end nothing has been seen yet: it gives way.
    await second.authenticate(client=client)
    assert (await second.bind(address))["URL"] == f"tcp://{address}"
    assert await echo(address, b"again") == b"again"
    assert (len(first.streams), len(second.streams)) == (0, 1)
    assert len(service.status()["sessions"]) == 1


@asynchronous
async def test_an_address_that_is_taken_is_refused(service):
    _agent, address = await Agent.enter(service)
    other = await Agent.connect(service)
    await other.authenticate()
    error = (await other.bind(address))["Error"]
    assert f"tcp://{address} is already online" in error
    assert "ERR_NGROK_334" in error


@asynchronous
async def test_a_dropped_session_takes_its_endpoints_and_connections_along(service):
    agent, address = await Agent.enter(service)
    reader, writer = await visit(address)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    service.drop_sessions()
    assert await reader.read() == b""
    assert not can_connect(address)
    assert service.status() == {"sessions": []}
    with pytest.raises(ConnectionError):
        while True:
            await agent.bind()


@asynchronous
async def test_an_endpoint_is_closed_when_the_agent_says_so_however_often(service):
    agent, address = await Agent.enter(service)
    bound = await agent.bind()
    for _ in range(2):
        assert await agent.ask(edge.UNBIND, {"Id": bound["Id"]}) == {"Error": "", "Extra": None}
    assert not can_connect(bound["Opts"]["Addr"])
    assert await echo(address, b"other") == b"other"


@asynchronous
async def test_heartbeats_are_answered_and_counted(service):
    agent, _ = await Agent.enter(service)
    stream = await agent.session.open(struct.pack(">I", edge.HEARTBEAT))
    for beat in (b"beat", b"b\x00at"):
        await stream.write(beat)
        assert await stream.read_exactly(4) == beat
    assert service.status()["sessions"][0]["heartbeats"] == 2


@asynchronous
async def test_agents_are_asked_to_stop(service):
    agent, _ = await Agent.enter(service)
    await asyncio.to_thread(service.stop_agents)
    assert agent.asked == [edge.STOP]


def test_it_ends_with_all_that_was_connected_and_complains_of_nothing(tmp_path, caplog):
    @asynchronous
    async def leave_in_the_middle(service):
        _agent, address = await Agent.enter(service)
        _, writer = await visit(address)
        writer.write(b"x")
        service.wait_for(lambda _: service.endpoints()[f"tcp://{address}"])
        await asyncio.to_thread(service.close)
        assert not can_connect(address)
        assert not can_connect(service.address)

    service = Service(tmp_path, TOKEN)
    service.start()
    leave_in_the_middle(service=service)
    assert [record.getMessage() for record in caplog.records if record.threadName == ngrok_service.service.THREAD] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.pem", "server.pem"]


def test_a_port_that_is_taken_is_told(service, tmp_path_factory):
    other = Service(tmp_path_factory.mktemp("other"), TOKEN, port=int(service.address.split(":")[1]))
    with pytest.raises(OSError) as caught:
        other.start()
    assert caught.value.errno == errno.EADDRINUSE


def test_as_a_process_of_its_own_it_is_commanded_through_its_folder(tmp_path):
    def command(*arguments):
        return [sys.executable, "-m", "ngrok_service", str(tmp_path), *arguments]

    def told(*arguments):
        done = subprocess.run(command(*arguments), cwd=TESTS, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    @asynchronous
    async def use(service):
        agent, address = await Agent.enter(service)
        assert told("status")["sessions"][0]["endpoints"] == {f"tcp://{address}": 0}
        assert told("refuse_endpoints", "ERR_NGROK_8013", "Add a card.") is None
        assert "Add a card." in (await agent.bind())["Error"]
        Remote(tmp_path).accept_endpoints()
        assert (await agent.bind())["Error"] == ""
        with pytest.raises(ValueError, match="supersede"):
            Remote(tmp_path)._perform("supersede")

    serving = command("serve", "--token-sha256", edge.token_digest(TOKEN))
    with subprocess.Popen(serving, cwd=TESTS, stdout=subprocess.PIPE, text=True) as process, ending(process):
        ready = json.loads(process.stdout.readline())
        service = Remote(tmp_path)
        service.address, service.ca = ready["address"], ready["ca"]
        use(service=service)
        # Tests that look for a token in every file find none of the stand-in's making.
        assert not [path for path in tmp_path.iterdir() if path.is_file() and TOKEN in path.read_text()]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not (tmp_path / "control").exists()


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """A function that puts a shell script in the place of npm; there is no npm before, and the cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))

    def write(script):
        (tmp_path / "npm").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "npm").chmod(0o755)

    return write


@pytest.mark.skipif(agents.why_no_platform() is not None, reason="there is no real agent for this machine anyway")
class TestDownload:
    """How the real agent is fetched."""

    def test_where_it_cannot_be_had_the_reason_is_told(self, npm, tmp_path):
        with pytest.raises(agents.NoAgent, match="npm is needed"):
            agents.install_real_agent(tmp_path / "ngrok")
        npm("echo no network >&2; exit 1")
        with pytest.raises(agents.NoAgent, match="no network"):
            agents.install_real_agent(tmp_path / "ngrok")

    def test_what_is_not_the_published_package_is_neither_used_nor_kept(self, npm, tmp_path):
        npm(f'echo evil > "$4/{agents.ARCHIVE}"')
        with pytest.raises(AssertionError, match=agents.PACKAGE):
            agents.install_real_agent(tmp_path / "ngrok")
        assert not (tmp_path / "ngrok").exists()
        assert list(agents.cache().iterdir()) == []

    def test_a_cached_package_that_was_altered_is_not_used(self, npm, tmp_path):
        agents.cache().mkdir(parents=True)
        (agents.cache() / agents.ARCHIVE).write_text("cut off")
        with pytest.raises(agents.NoAgent, match="npm is needed"):
            agents.install_real_agent(tmp_path / "ngrok")
