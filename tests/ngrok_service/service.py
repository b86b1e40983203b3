"""What a test uses: the service in a thread, and a way to command it from another process."""

from __future__ import annotations

import abc
import asyncio
import concurrent.futures
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ngrok_service.certificates import make_certificates
from ngrok_service.edge import HOST, Edge, token_digest

CONTROL = "control"
THREAD = "ngrok service"
COMMANDS = (
    "status", "refuse_sessions", "accept_sessions", "refuse_endpoints", "accept_endpoints", "drop_sessions",
    "stop_agents",
)  # fmt: skip
SECONDS_TO_END = 10


class Commands(abc.ABC):
    """What the service can be told, in this process or another one."""

    def status(self) -> dict:
        """Return the sessions that are open: `client`, `version` of the agent, `heartbeats` so far, and `endpoints`.

        The endpoints are a dictionary of URLs and how many connections each has had.
        """
        return self._perform("status")

    def endpoints(self) -> dict[str, int]:
        """Return the URLs that are online, and how many connections each has had."""
        return {url: count for session in self.status()["sessions"] for url, count in session["endpoints"].items()}

    def wait_for(self, condition: Callable[[dict], Any], seconds: float = 60) -> dict:
        """Return the first status that fulfils a condition; fail with the last one when it takes too long."""
        end = time.monotonic() + seconds
        while not condition(status := self.status()):
            assert time.monotonic() < end, f"not within {seconds} s: {status}"
            time.sleep(0.02)
        return status

    def refuse_sessions(self, code: str, text: str) -> None:
        """Refuse every token from now on; `{token}` in the text stands for the token. Open sessions stay."""
        self._perform("refuse_sessions", code, text)

    def accept_sessions(self) -> None:
        """Accept the right token again."""
        self._perform("accept_sessions")

    def refuse_endpoints(self, code: str, text: str) -> None:
        """Refuse every endpoint from now on. Open ones stay."""
        self._perform("refuse_endpoints", code, text)

    def accept_endpoints(self) -> None:
        """Open endpoints again."""
        self._perform("accept_endpoints")

    def drop_sessions(self) -> None:
        """End all sessions, with their endpoints and connections, as a broken network does."""
        self._perform("drop_sessions")

    def stop_agents(self) -> None:
        """Ask all agents to end, as the button Stop in ngrok's dashboard does."""
        self._perform("stop_agents")

    @abc.abstractmethod
    def _perform(self, command: str, *arguments: str) -> Any:
        """Have the service do one of COMMANDS, and return what comes of it."""


class Service(Commands):
    """The service, from `start` to `close`, or as a context.

    Parameters
    ----------
    folder
        Where `ca.pem`, the server's certificate and the socket for `Remote` go; it must exist.
    token
        The token that gets in.
    digest
        Its `edge.token_digest` instead, where the token itself must not be seen.
    port
        Where agents connect; any free one when 0.

    Attributes
    ----------
    address : str
        Host and port for agents; once started.
    ca : Path
        The certificate authority that agents must trust.
    """

    def __init__(self, folder: Path, token: str = "", *, digest: str = "", port: int = 0) -> None:
        self.address = ""
        self.ca, self._certificate = make_certificates(folder)
        self._control = folder / CONTROL
        self._port = port
        self._edge = Edge(digest or token_digest(token))
        self._started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Return once agents can connect; raise OSError when the port is taken."""
        self._thread.start()
        self._started.result()

    def close(self) -> None:
        """End all sessions and listen no more."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _perform(self, command: str, *arguments: str) -> Any:
        work = getattr(self._edge, command)(*arguments)
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate)
        try:
            listener = await asyncio.start_server(self._edge.accept, HOST, self._port, ssl=context)
            control = await asyncio.start_unix_server(self._obey, self._control)
        except OSError as error:
            self._started.set_exception(error)
            return
        self.address = f"{HOST}:{listener.sockets[0].getsockname()[1]}"
        self._started.set_result(None)
        await self._end.wait()
        listener.close()
        control.close()
        self._control.unlink(missing_ok=True)  # from Python 3.13 on it is gone by itself
        await self._edge.drop_sessions()
        # Whatever still runs sees its connection broken now, and ends.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=SECONDS_TO_END)

    async def _obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Perform one command: a JSON list of its name and its arguments, in a line."""
        command, *arguments = json.loads(await reader.readline())
        try:
            if command not in COMMANDS:
                raise ValueError(f"no such command: {command}")
            answer = {"result": await getattr(self._edge, command)(*arguments)}
        except (TypeError, ValueError) as error:
            answer = {"error": str(error)}
        writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()


class Remote(Commands):
    """A service in another process, known by its folder."""

    def __init__(self, folder: Path) -> None:
        self._control = folder / CONTROL

    def _perform(self, command: str, *arguments: str) -> Any:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._control))
            connection.sendall(json.dumps([command, *arguments]).encode() + b"\n")
            answer = json.loads(connection.makefile().readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["result"]
