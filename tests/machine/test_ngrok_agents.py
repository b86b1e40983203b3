"""ngrok's own clients and the stand-in for its service: the real agent of version 2, and the SDK that the double is of.

No box is made. The real agent is downloaded by npm, and these tests are skipped where that cannot be.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ngrok_service import Service, agents
from ports import free_port
from pyngrok import conf, exception, ngrok

TOKEN = "2Nq9771bPxe8ctg7LKr_2ClH7Y15Zqe4bWLWF9p"
WRONG = "2Nq9771bPxe8ctg7LKr_3ClH7Y15Zqe4bWLWF9p"
CARD = "You must add a credit or debit card before you can use TCP endpoints on a free account."
# What ngrok's documentation shows first.
SDK = """
import sys, time, ngrok
_, port, token, address, ca = sys.argv
listener = ngrok.forward(f"tcp://localhost:{port}", proto="tcp", authtoken=token, server_addr=address, root_cas=ca)
print(listener.url(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path, TOKEN) as service:
        yield service


@pytest.fixture(scope="session")
def double(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("ngrok", reason="the double of the agent needs ngrok's SDK, which is not installed")
    path = tmp_path_factory.mktemp("double") / "ngrok"
    agents.install_double(path)
    return path


class Client:
    """An agent of one version, and how it is started."""

    def __init__(self, version: int, path: Path, service: Service, folder: Path) -> None:
        self.version, self.path = version, path
        self.web = f"127.0.0.1:{free_port()}"
        self.config = folder / "ngrok.yml"
        self._service = service
        self._processes: list[subprocess.Popen[str]] = []
        self.configure(TOKEN)

    def configure(self, token: str) -> None:
        address, ca = self._service.address, self._service.ca
        self.config.write_text(agents.configuration(address, ca, token, web=self.web, version=self.version))

    def popen(self, *arguments: object) -> subprocess.Popen[str]:
        command = [self.path, *map(str, arguments), "--config", self.config]
        self._processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return self._processes[-1]

    def open(self, port: int, *options: object) -> tuple[subprocess.Popen[str], int]:
        """Open an endpoint for a port; return the process, and the port where the public connects."""
        process = self.popen("tcp", port, *options)
        return process, self.wait_for_endpoint()

    def wait_for_endpoint(self) -> int:
        """Return the port where the public connects, once the whole way to an echo and back is open."""
        self._service.wait_for(lambda _: self._service.endpoints())
        (url,) = self._service.endpoints()
        port = int(url.rpartition(":")[2])
        wait_for_echo(port)
        return port

    def api(self, kind: str) -> list[dict]:
        with urllib.request.urlopen(f"http://{self.web}/api/{kind}") as answer:
            return json.load(answer)[kind]

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()


@pytest.fixture(params=[2, 3], ids=["real agent", "double on the SDK"])
def client(request: pytest.FixtureRequest, service: Service, tmp_path: Path) -> Iterator[Client]:
    path = request.getfixturevalue("real_agent" if request.param == 2 else "double")
    client = Client(request.param, path, service, tmp_path)
    yield client
    client.close()


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server on the loopback that sends everything back."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve_echo, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def serve_echo(listener: socket.socket) -> None:
    def answer(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(1 << 16):
                connection.sendall(data)

    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # the test is over
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def echo(port: int, data: bytes) -> bytes:
    """Send bytes and return as many. The agent of version 2 has no half-closed connections, so all stay open."""
    back = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        while len(back) < len(data):
            more = connection.recv(1 << 16)
            assert more, f"closed after {len(back)} bytes of {len(data)}"
            back += more
        sender.join()
    return bytes(back)


def wait_for_echo(port: int) -> None:
    """Return once the whole way is open, which is a moment after the service has opened its end."""
    end = time.monotonic() + 60
    while True:
        try:
            assert echo(port, b"there") == b"there"
            return
        except (OSError, AssertionError):
            assert time.monotonic() < end
            time.sleep(0.1)


def test_twenty_megabytes_come_back_identical(client: Client, echo_port: int) -> None:
    _, port = client.open(echo_port)
    data = os.urandom(20_000_000)
    assert echo(port, data) == data


def test_eight_connections_at_once_each_get_their_own_bytes(client: Client, service: Service, echo_port: int) -> None:
    _, port = client.open(echo_port)
    before = sum(service.endpoints().values())
    sent = [os.urandom(1_000_000) for _ in range(8)]
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in sent]  # open side by side before any is used
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda data: echo(port, data), sent)) == sent
    assert sum(service.endpoints().values()) - before == 16
    for connection in connections:
        connection.close()


def test_a_dropped_session_is_back_at_the_same_address(client: Client, service: Service, echo_port: int) -> None:
    process, port = client.open(echo_port)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as visitor:
        visitor.sendall(b"hello")
        assert visitor.recv(5) == b"hello"
        service.drop_sessions()
        assert visitor.recv(5) == b""
    service.wait_for(lambda _: list(service.endpoints()) == [f"tcp://127.0.0.1:{port}"])
    wait_for_echo(port)
    assert process.poll() is None


def test_a_refused_token_ends_the_agent_with_the_text_of_the_service(client: Client, echo_port: int) -> None:
    client.configure(WRONG)
    process = client.popen("tcp", echo_port)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "properly formed, but it is invalid" in output
    assert "ERR_NGROK_107" in output


def test_a_refused_endpoint_ends_the_agent_with_the_text_of_the_service(
    client: Client, service: Service, echo_port: int
) -> None:
    service.refuse_endpoints("ERR_NGROK_8013", CARD)
    process = client.popen("tcp", echo_port)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert CARD in output
    assert "ERR_NGROK_8013" in output


def test_a_session_refused_after_a_drop_is_asked_for_until_it_is_granted(
    client: Client, service: Service, echo_port: int
) -> None:
    process, port = client.open(echo_port)
    service.refuse_sessions("ERR_NGROK_108", "Too many sessions.")
    service.drop_sessions()
    time.sleep(1)
    assert (process.poll(), service.endpoints()) == (None, {})
    service.accept_sessions()
    service.wait_for(lambda _: service.endpoints())
    wait_for_echo(port)


def test_an_agent_asked_to_stop_ends_well(client: Client, service: Service, echo_port: int) -> None:
    process, _ = client.open(echo_port)
    service.stop_agents()
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_an_agent_ends_well_with_sigterm_and_frees_its_address(
    client: Client, service: Service, echo_port: int
) -> None:
    process, port = client.open(echo_port)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    service.wait_for(lambda _: not service.endpoints())
    # A new agent gets it where it asks for it.
    name = "--remote-addr" if client.version == 2 else "--url"
    assert client.open(echo_port, name, f"{'' if client.version == 2 else 'tcp://'}127.0.0.1:{port}")[1] == port


def test_the_local_api_lists_the_endpoint(client: Client, service: Service, echo_port: int) -> None:
    _, port = client.open(echo_port)
    service.wait_for(lambda _: client.api("tunnels"))
    (tunnel,) = client.api("tunnels")
    facts = {name: tunnel[name] for name in ("name", "public_url", "proto", "config")}
    assert facts == {
        "name": "command_line", "public_url": f"tcp://127.0.0.1:{port}", "proto": "tcp",
        "config": {"addr": f"localhost:{echo_port}", "inspect": False},
    }  # fmt: skip


@pytest.mark.parametrize("client", [2], indirect=True, ids=["real agent"])
def test_heartbeats_keep_a_session(client: Client, service: Service, echo_port: int) -> None:
    """The SDK sends one at once, the agent after ten seconds."""
    _, port = client.open(echo_port)
    service.wait_for(lambda status: status["sessions"][0]["heartbeats"] > 0)
    assert echo(port, b"alive") == b"alive"


def test_pyngrok_opens_and_closes_an_endpoint_and_tells_errors(
    client: Client, service: Service, echo_port: int
) -> None:
    # For version 3 this is pyngrok's default; the real agent, of version 2, has the local API of that version alone.
    config = conf.PyngrokConfig(
        ngrok_path=str(client.path), config_path=str(client.config), config_version=str(client.version),
        request_timeout=60, startup_timeout=60,
    )  # fmt: skip
    try:
        tunnel = ngrok.connect(str(echo_port), "tcp", name="ssh", pyngrok_config=config)
        assert [tunnel.public_url] == list(service.endpoints())
        port = int(tunnel.public_url.rpartition(":")[2])
        wait_for_echo(port)
        assert echo(port, b"through pyngrok") == b"through pyngrok"
        service.refuse_endpoints("ERR_NGROK_8013", CARD)
        with pytest.raises(exception.PyngrokNgrokHTTPError, match="ERR_NGROK_8013") as caught:
            ngrok.connect(str(echo_port), "tcp", name="second", pyngrok_config=config)
        assert caught.value.status_code == 502
        ngrok.disconnect(tunnel.public_url, config)
        service.wait_for(lambda _: not service.endpoints())
        ngrok.kill(config)
        service.refuse_sessions("ERR_NGROK_108", "Too many sessions.")
        with pytest.raises(exception.PyngrokNgrokError) as caught:
            ngrok.get_ngrok_process(config)
        assert caught.value.ngrok_error_code == "ERR_NGROK_108"
    finally:
        ngrok.kill(config)


def test_the_sdk_by_itself_moves_twenty_megabytes(double: Path, service: Service, echo_port: int) -> None:
    command = [sys.executable, "-c", SDK, str(echo_port), TOKEN, service.address, str(service.ca)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            assert [url] == list(service.endpoints())
            port, data = int(url.rpartition(":")[2]), os.urandom(20_000_000)
            wait_for_echo(port)
            assert echo(port, data) == data
        finally:
            process.kill()


def test_both_agents_tell_their_versions(real_agent: Path, double: Path) -> None:
    outputs = [subprocess.check_output([path, "version"], text=True) for path in (real_agent, double)]
    assert [bool(re.fullmatch(r"ngrok version \d+\.\d+\.\d+\n", text)) for text in outputs] == [True, True]


def test_the_double_starts_what_its_configuration_defines(
    double: Path, service: Service, tmp_path: Path, echo_port: int
) -> None:
    client = Client(3, double, service, tmp_path)
    config = json.loads(client.config.read_text())
    config["endpoints"] = [{"name": "ssh", "url": "tcp://", "upstream": {"url": echo_port}}]
    client.config.write_text(json.dumps(config))
    try:
        client.popen("start", "ssh")
        assert echo(client.wait_for_endpoint(), b"defined") == b"defined"
    finally:
        client.close()


def test_the_double_refuses_a_field_that_the_agent_does_not_have(double: Path, tmp_path: Path) -> None:
    config = tmp_path / "ngrok.yml"
    config.write_text(json.dumps({"version": 3, "agent": {"server_addr": "127.0.0.1:1"}}))
    done = subprocess.run([double, "start", "--none", "--config", config], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "server_addr" in done.stderr
