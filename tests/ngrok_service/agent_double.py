"""A double of ngrok's agent of version 3, of which no package registry has a copy.

It has the agent's command line, configuration file, log and local API, as far as pyngrok and we use them; and what
goes over the network is real, for ngrok's own SDK does it. What it shows is that the agent is used rightly, not that
the agent is right. Like the agent it refuses a configuration with a field that it does not know.

    ngrok version
    ngrok start --none|--all|NAME... --config FILE [--log stdout|stderr|FILE] [--authtoken TOKEN]
    ngrok tcp ADDRESS [--url tcp://HOST:PORT] [--name NAME] and the options of start
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Coroutine
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TextIO

import ngrok
import yaml

# As ngrok's documentation of the configuration lists them.
FIELDS = {"version", "agent", "endpoints", "tunnels"}
AGENT_FIELDS = {
    "api_key", "authtoken", "connect_cas", "connect_interface", "connect_timeout", "connect_url", "console_ui",
    "console_ui_color", "crl_noverify", "dns_resolver_ips", "heartbeat_interval", "heartbeat_tolerance",
    "inspect_db_size", "log", "log_format", "log_level", "metadata", "proxy_url", "remote_management",
    "update_channel", "update_check", "web_addr", "web_allow_hosts",
}  # fmt: skip
WEB_ADDRESS = "127.0.0.1:4040"
RETRY_SECONDS = 1


class Log:
    """Lines of `key=value`, to where the command line or the configuration says."""

    def __init__(self, target: str | None) -> None:
        streams = {"stdout": sys.stdout, "stderr": sys.stderr, "false": None, None: None}
        self._file: TextIO | None = streams[target] if target in streams else Path(target).open("a")  # noqa: SIM115
        self._lock = threading.Lock()

    def write(self, level: str, message: str, **fields: object) -> None:
        """Write one line."""
        if self._file:
            now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            pairs = {"t": now, "lvl": level, "msg": message, **fields}
            with self._lock:
                print(*[f"{key}={_quoted(str(value))}" for key, value in pairs.items()], file=self._file, flush=True)


class Agent:
    """A session with the service, and its endpoints."""

    def __init__(self, settings: dict[str, Any], log: Log) -> None:
        self.ended = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.endpoints: dict[str, Endpoint] = {}
        self._settings, self._log = settings, log
        self._session: ngrok.Session | None = None

    async def connect(self) -> None:
        """Open the session; try again for as long as the service does not answer."""
        # The SDK asks again by itself after a session that was lost.
        builder = ngrok.SessionBuilder().authtoken(self._settings.get("authtoken", ""))
        if "connect_url" in self._settings:
            builder = builder.server_addr(self._settings["connect_url"])
        if "connect_cas" in self._settings:
            builder = builder.root_cas(self._settings["connect_cas"])
        builder = builder.handle_stop_command(lambda: self.loop.call_soon_threadsafe(self.ended.set))
        while self._session is None:
            try:
                self._session = await builder.connect()
            except ValueError as error:
                if refused := _refused("authentication failed", error):
                    raise refused from None
                self._log.write("eror", "failed to reconnect session", obj="tunnels.session", err=error.args[-1])
                await asyncio.sleep(RETRY_SECONDS)
        self._log.write("info", "tunnel session started", obj="tunnels.session")
        self._log.write("info", "client session established", obj="csess")

    async def open(self, name: str, upstream: str, url: str) -> Endpoint:
        """Open an endpoint, at the address in `url` when it has one."""
        builder = self._session.tcp_endpoint()
        wanted = url.removeprefix("tcp://")
        if wanted:
            builder = builder.remote_addr(wanted)
        try:
            listener = await builder.listen_and_forward(upstream if "://" in upstream else f"tcp://{upstream}")
        except ValueError as error:
            raise _refused("failed to start tunnel", error) or error from None
        self._log.write("info", "started tunnel", obj="tunnels", name=name, addr=upstream, url=listener.url())
        self.endpoints[name] = Endpoint(name, upstream, listener)
        return self.endpoints[name]

    async def close(self, name: str) -> None:
        """Close an endpoint."""
        await self.endpoints.pop(name).listener.close()


class Endpoint:
    """An endpoint that is open, as the local API shows it."""

    def __init__(self, name: str, upstream: str, listener: ngrok.Listener) -> None:
        self.listener = listener
        self._name, self._upstream = name, upstream

    def show(self, kind: str) -> dict[str, Any]:
        """Return it as one of `endpoints`, or of `tunnels`, which came before."""
        common = {"name": self._name, "uri": f"/api/{kind}/{self._name}"}
        if kind == "endpoints":
            return common | {"url": self.listener.url(), "upstream": {"url": self._upstream}, "inspect": False}
        config = {"addr": self._upstream, "inspect": False}
        return common | {"public_url": self.listener.url(), "proto": "tcp", "config": config, "metrics": {}}


class Refused(Exception):
    """The service refused something; the text is what the agent says."""


class LocalAPI(ThreadingHTTPServer):
    """`/api/tunnels` and `/api/endpoints`: list, show, open and close."""

    daemon_threads = True

    def __init__(self, address: str, agent: Agent, log: Log) -> None:
        host, _, port = address.rpartition(":")
        super().__init__((host, int(port)), Request)
        self.agent, self.log = agent, log
        log.write("info", "starting web service", obj="web", addr=address, allow_hosts=[])
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Request(BaseHTTPRequestHandler):
    """One request to the local API."""

    server: LocalAPI

    def do_GET(self) -> None:
        kind, name = self._parts()
        endpoints = self.server.agent.endpoints
        if name:
            endpoint = endpoints.get(name)
            self._answer(200, endpoint.show(kind)) if endpoint else self._answer(404)
        elif kind:
            self._answer(200, {kind: [each.show(kind) for each in list(endpoints.values())], "uri": f"/api/{kind}"})
        else:
            self._answer(404)

    def do_POST(self) -> None:
        kind, _ = self._parts()
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            endpoint = self._await(self.server.agent.open(*_definition(wanted)))
            self._answer(201, endpoint.show(kind))
        except Refused as error:
            body = {"error_code": 103, "status_code": 502, "msg": "failed to start tunnel"}
            self._answer(502, body | {"details": {"err": str(error)}})

    def do_DELETE(self) -> None:
        _, name = self._parts()
        if name not in self.server.agent.endpoints:
            return self._answer(404)
        self._await(self.server.agent.close(name))
        return self._answer(204)

    def log_message(self, *_: object) -> None:
        """Leave standard error alone; what is said, `_answer` says."""

    def _parts(self) -> tuple[str, str]:
        """Return `tunnels`, `endpoints` or nothing, and the name behind it."""
        _, api, kind, *name = [*self.path.split("/"), "", ""]
        return (kind, name[0]) if api == "api" and kind in ("tunnels", "endpoints") else ("", "")

    def _await(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.server.agent.loop).result()

    def _answer(self, status: int, body: dict[str, Any] | None = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.server.log.write("info", "end", pg=self.path, status=status)


def main(version: str) -> None:
    """Do what the command line says."""
    options = _parser().parse_args()
    if options.command == "version":
        print(f"ngrok version {version}")
        return
    try:
        asyncio.run(_run(options))
        code = 0
    except (Refused, Misused) as error:
        print("\n".join(f"ERROR:  {line}" for line in str(error).splitlines()), file=sys.stderr, flush=True)
        code = 1
    # The SDK has been seen to crash when the interpreter takes it down.
    os._exit(code)


async def _run(options: argparse.Namespace) -> None:
    config = _read_configuration(options.config)
    settings = config["agent"]
    token = options.authtoken or os.environ.get("NGROK_AUTHTOKEN") or settings.get("authtoken", "")
    log = Log(options.log or settings.get("log"))
    agent = Agent(settings | {"authtoken": token}, log)
    for sign in (signal.SIGTERM, signal.SIGINT):
        agent.loop.add_signal_handler(sign, agent.ended.set)
    if settings.get("web_addr") is not False:
        LocalAPI(settings.get("web_addr", WEB_ADDRESS), agent, log)
    work = asyncio.create_task(_connect_and_open(agent, _wanted(options, config), log))
    ended = asyncio.create_task(agent.ended.wait())
    await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()
        await ended


async def _connect_and_open(agent: Agent, wanted: list[tuple[str, str, str]], log: Log) -> None:
    try:
        await agent.connect()
        for definition in wanted:
            await agent.open(*definition)
    except Refused as error:
        log.write("eror", "session closing", obj="tunnels.session", err=error)
        log.write("crit", "command failed", err=error)
        raise


class Misused(Exception):
    """The command line or the configuration is wrong."""


def _read_configuration(path: Path) -> dict[str, Any]:
    config = yaml.safe_load(path.read_text())
    unknown = (set(config) - FIELDS) | (set(config.get("agent", {})) - AGENT_FIELDS)
    if str(config.get("version")) != "3" or "agent" not in config or unknown:
        raise Misused(f"Error reading configuration file '{path}': {', '.join(sorted(unknown)) or 'version, agent'}")
    return config


def _wanted(options: argparse.Namespace, config: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return name, upstream and URL of the endpoints to open at once."""
    if options.command == "tcp":
        return [(options.name, _full_address(options.address), options.url)]
    tunnels = [{"name": name, **facts} for name, facts in config.get("tunnels", {}).items()]
    definitions = [_definition(facts) for facts in [*config.get("endpoints", []), *tunnels]]
    known = {name: (name, upstream, url) for name, upstream, url in definitions}
    names = list(known) if options.all else options.names
    if unknown := set(names) - set(known):
        raise Misused(f"The configuration does not define {', '.join(sorted(unknown))}")
    if not (names or options.none):
        raise Misused("Nothing to start: name endpoints of the configuration, or say --all or --none")
    return [known[name] for name in names]


def _definition(facts: dict[str, Any]) -> tuple[str, str, str]:
    """Return name, upstream and URL of an endpoint, or of a tunnel in the manner of version 2."""
    if "upstream" in facts:
        return facts["name"], _full_address(facts["upstream"]["url"]), facts.get("url", "")
    return facts["name"], _full_address(facts["addr"]), facts.get("remote_addr", "")


def _full_address(upstream: str | int) -> str:
    """Return where to forward to; a port alone is one of this machine."""
    return str(upstream) if ":" in str(upstream) else f"localhost:{upstream}"


def _refused(what: str, error: ValueError) -> Refused | None:
    """Return what the agent says of an error of the SDK; None when it is not of the service."""
    if len(error.args) < 3 or not error.args[2]:
        return None
    _, text, code = error.args
    return Refused(f"{what}: {text}\r\n\r\n{code}\r\n")


def _quoted(text: str) -> str:
    return json.dumps(text) if set(text) & set(' "=\r\n') else text


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, required=True)
    common.add_argument("--log")
    common.add_argument("--authtoken")
    parser = argparse.ArgumentParser(prog="ngrok")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("version")
    start = commands.add_parser("start", parents=[common])
    start.add_argument("names", nargs="*")
    start.add_argument("--none", action="store_true")
    start.add_argument("--all", action="store_true")
    tcp = commands.add_parser("tcp", parents=[common])
    tcp.add_argument("address")
    tcp.add_argument("--url", "--remote-addr", default="")
    tcp.add_argument("--name", default="command_line")
    return parser
