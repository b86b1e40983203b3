"""What the service answers to an agent: sessions, endpoints and the connections through them.

The first four bytes of a stream say what it is for. A request and its answer are one JSON object each.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import re
import secrets
import struct

from ngrok_service import muxado

HOST = "127.0.0.1"
AUTHENTICATE, BIND, UNBIND, PROXY, RESTART, STOP, UPDATE, LABEL, REGION = range(9)
HEARTBEAT = 0xFFFFFFFF
_ATTEMPTS = 50  # at a port that something outside the service has, 0.1 s apart

# The real service says more of the form of a token; so much tells a token from a slip.
TOKEN_FORM = re.compile(r"\w{20,}", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Refusal:
    """What the service refuses with. `{token}` in the text stands for the token, which the real service tells back."""

    code: str
    text: str

    def message(self, token: str = "") -> str:
        """Return it in the form in which agents look for the code."""
        return f"{self.text.replace('{token}', token)}\r\n\r\n{self.code}\r\n"


# Texts as in ngrok's documentation of the errors.
NO_TOKEN = Refusal(
    "ERR_NGROK_4018",
    "Usage of ngrok requires a verified account and authtoken.\n\n"
    "Sign up for an account: https://dashboard.ngrok.com/signup\n"
    "Install your authtoken: https://dashboard.ngrok.com/get-started/your-authtoken",
)
MALFORMED_TOKEN = Refusal(
    "ERR_NGROK_105",
    "The authtoken you specified does not look like a proper ngrok authtoken.\nYour authtoken: {token}\n"
    "Instructions to install your authtoken are on your ngrok dashboard:\n"
    "https://dashboard.ngrok.com/get-started/your-authtoken",
)
WRONG_TOKEN = Refusal(
    "ERR_NGROK_107",
    "The authtoken you specified is properly formed, but it is invalid.\nYour authtoken: {token}\n"
    "This usually happens when:\n    - You reset your authtoken\n"
    "    - Your authtoken was for a team account that you were removed from\n"
    "    - You are using ngrok link and this credential was explicitly revoked\n"
    "Go to your ngrok dashboard and double check that your authtoken is correct:\n"
    "https://dashboard.ngrok.com/get-started/your-authtoken",
)
ALREADY_ONLINE = Refusal(
    "ERR_NGROK_334",
    "The endpoint {url} is already online. Either\n1. stop your existing endpoint first, or\n"
    "2. start both endpoints with --pooling-enabled to load balance between them.",
)
# The real service has it with another text for each kind of endpoint that an account may not have.
NOT_TCP = Refusal("ERR_NGROK_9999", "The stand-in for the service has TCP endpoints only.")
NOT_AUTHENTICATED = Refusal("ERR_NGROK_9998", "The agent asked for an endpoint before it authenticated.")


def token_digest(token: str) -> str:
    """Return the SHA-256 of a token, by which the service knows it."""
    return hashlib.sha256(token.encode()).hexdigest()


class Endpoint:
    """A port that is open to the public, which here is the loopback."""

    def __init__(self, identifier: str, agent: Agent) -> None:
        self.identifier = identifier
        self.connections = 0
        self._agent = agent
        self._listener: asyncio.Server | None = None

    async def open(self, port: int) -> None:
        """Listen on a port, or on any when it is 0."""
        self._listener = await asyncio.start_server(self._accept, HOST, port)

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    @property
    def address(self) -> str:
        """The host and the port."""
        return f"{HOST}:{self._listener.sockets[0].getsockname()[1]}"

    @property
    def url(self) -> str:
        """What the agent reports."""
        return f"tcp://{self.address}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        host, port = writer.get_extra_info("peername")
        header = {
            "Id": self.identifier, "ClientAddr": f"{host}:{port}", "Proto": "tcp", "EdgeType": "1",
            "PassthroughTLS": False,
        }  # fmt: skip
        text = json.dumps(header).encode()
        with contextlib.suppress(ConnectionError, EOFError), contextlib.closing(writer):
            stream = await self._agent.session.open(struct.pack(">I", PROXY))
            try:
                await stream.write(struct.pack("<q", len(text)) + text)
                await _both(_upload(reader, stream), _download(stream, writer))
            finally:
                await stream.close()


class Agent:
    """A client of the service, from its connection to its end."""

    def __init__(self, edge: Edge, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.session = muxado.Session(reader, writer, self._serve)
        self.client = self.version = ""
        self.heartbeats = 0
        self.endpoints: dict[str, Endpoint] = {}
        self._edge = edge

    def drop(self) -> None:
        """End the session as a broken network does, and free its addresses at once."""
        for endpoint in self.endpoints.values():
            endpoint.close()
        self.endpoints.clear()
        self.session.abort()

    async def stop(self) -> None:
        """Ask the agent to end, and wait until it has said that it will, or left."""
        with contextlib.suppress(ConnectionError, EOFError):
            stream = await self.session.open(struct.pack(">I", STOP) + b"{}")
            try:
                await stream.finish()
                await stream.read()
            finally:
                await stream.close()

    def status(self) -> dict:
        """Return what `Edge.status` says of it."""
        endpoints = {endpoint.url: endpoint.connections for endpoint in self.endpoints.values()}
        return {
            "client": self.client, "version": self.version, "heartbeats": self.heartbeats, "endpoints": endpoints
        }  # fmt: skip

    async def _serve(self, stream: muxado.Stream) -> None:
        kind = struct.unpack(">I", await stream.read_exactly(4))[0]
        if kind == HEARTBEAT:
            await self._echo_heartbeats(stream)
        answers = {AUTHENTICATE: self._authenticate, BIND: self._bind, UNBIND: self._unbind, REGION: self._region}
        answer = answers.get(kind, self._cannot)
        await stream.write(json.dumps(await answer(await _read_json(stream))).encode())
        await stream.finish()

    async def _echo_heartbeats(self, stream: muxado.Stream) -> None:
        while True:
            await stream.write(await stream.read_exactly(4))
            self.heartbeats += 1

    async def _authenticate(self, request: dict) -> dict:
        extra = request["Extra"]
        # The Go agent and the Rust SDK differ in the capital.
        token = extra.get("Authtoken") or extra.get("AuthToken") or ""
        # The agent of version 2 speaks "2" alone, newer ones offer theirs first.
        answer = {"Version": request["Version"][0], "ClientId": "", "Error": "", "Extra": {}}
        refusal = self._edge.refusal_of(token)
        if refusal:
            return answer | {"Error": refusal.message(token)}
        self.client = request.get("ClientId") or secrets.token_hex(8)
        self.version = extra.get("Version", "")
        self._edge.supersede(self)
        account = {
            "Version": "stand-in", "Region": "lo", "Cookie": "cookie", "AccountName": "Test", "SessionDuration": 0,
            "PlanName": "Free", "Banner": "",
        }  # fmt: skip
        return answer | {"ClientId": self.client, "Extra": account}

    async def _bind(self, request: dict) -> dict:
        """Open an endpoint; at the address that is asked for, if one is, as an agent does that comes back."""
        options = request["Opts"] or {}
        wanted = options.get("Addr") or ""
        endpoint = Endpoint(request["Id"] or secrets.token_hex(8), self)
        refusal = self._refusal_to_bind(request["Proto"])
        if not refusal:
            try:
                await self._open(endpoint, int(wanted.rpartition(":")[2] or 0))
            except OSError:
                refusal = Refusal(ALREADY_ONLINE.code, ALREADY_ONLINE.text.replace("{url}", f"tcp://{wanted}"))
        answer = {"Id": endpoint.identifier, "Proto": request["Proto"], "Extra": {"Token": endpoint.identifier}}
        if refusal:
            return answer | {"URL": "", "Opts": options, "Error": refusal.message()}
        self.endpoints[endpoint.identifier] = endpoint
        # The Rust SDK wants all of its options back.
        return answer | {"URL": endpoint.url, "Opts": options | {"Addr": endpoint.address}, "Error": ""}

    async def _open(self, endpoint: Endpoint, port: int) -> None:
        """Open an endpoint; a port that no other agent has is given back by whoever has it for the moment."""
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(OSError):
                return await endpoint.open(port)
            if self._edge.has_port(port):
                break
            await asyncio.sleep(0.1)
        return await endpoint.open(port)

    def _refusal_to_bind(self, protocol: str) -> Refusal | None:
        if not self.client:
            return NOT_AUTHENTICATED
        return self._edge.endpoint_refusal or (None if protocol == "tcp" else NOT_TCP)

    async def _unbind(self, request: dict) -> dict:
        # The SDK asks more than once.
        endpoint = self.endpoints.pop(request["Id"], None)
        if endpoint:
            endpoint.close()
        return {"Error": "", "Extra": None}

    async def _region(self, _: dict) -> dict:
        return {"Region": "lo"}

    async def _cannot(self, _: dict) -> dict:
        return {"Error": "The stand-in for the service cannot do this."}


class Edge:
    """All agents, and what they are refused."""

    def __init__(self, digest: str) -> None:
        self.session_refusal: Refusal | None = None
        self.endpoint_refusal: Refusal | None = None
        self._digest = digest
        self._agents: list[Agent] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve an agent until its connection ends."""
        agent = Agent(self, reader, writer)
        self._agents.append(agent)
        try:
            await agent.session.run()
        finally:
            self._forget(agent)

    def refusal_of(self, token: str) -> Refusal | None:
        """Return why nobody gets in with the token; None for the right one."""
        if self.session_refusal:
            return self.session_refusal
        if not token:
            return NO_TOKEN
        if not TOKEN_FORM.fullmatch(token):
            return MALFORMED_TOKEN
        return None if token_digest(token) == self._digest else WRONG_TOKEN

    def has_port(self, port: int) -> bool:
        """Return whether an agent has an endpoint at a port."""
        held = [endpoint.address for agent in self._agents for endpoint in agent.endpoints.values()]
        return f"{HOST}:{port}" in held

    def supersede(self, agent: Agent) -> None:
        """End the session that the agent had before, of which the end may not have been seen yet."""
        for other in list(self._agents):
            if other.client == agent.client and other is not agent:
                self._forget(other)

    def _forget(self, agent: Agent) -> None:
        agent.drop()
        if agent in self._agents:
            self._agents.remove(agent)

    # The commands of `service.Commands`, one each.

    async def status(self) -> dict:
        return {"sessions": [agent.status() for agent in self._agents if agent.client]}

    async def refuse_sessions(self, code: str, text: str) -> None:
        self.session_refusal = Refusal(code, text)

    async def accept_sessions(self) -> None:
        self.session_refusal = None

    async def refuse_endpoints(self, code: str, text: str) -> None:
        self.endpoint_refusal = Refusal(code, text)

    async def accept_endpoints(self) -> None:
        self.endpoint_refusal = None

    async def drop_sessions(self) -> None:
        for agent in list(self._agents):
            self._forget(agent)

    async def stop_agents(self) -> None:
        await asyncio.gather(*[agent.stop() for agent in self._agents if agent.client])


async def _read_json(stream: muxado.Stream) -> dict:
    """Read an object; the agent does not say that it was all, for it finishes the stream only after the answer."""
    text = b""
    while True:
        more = await stream.read()
        if not more:
            raise EOFError(f"stream {stream.number} ended in the middle of a request")
        text += more
        with contextlib.suppress(ValueError):
            return json.loads(text)


async def _upload(reader: asyncio.StreamReader, stream: muxado.Stream) -> None:
    while data := await reader.read(muxado.PIECE):
        await stream.write(data)
    await stream.finish()


async def _download(stream: muxado.Stream, writer: asyncio.StreamWriter) -> None:
    while data := await stream.read():
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def _both(*directions) -> None:
    """Run both directions to their ends; when one breaks, cancel the other."""
    tasks = [asyncio.create_task(direction) for direction in directions]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
