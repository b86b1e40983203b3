"""A double of ngrok's agent of version 3, of which no package registry has a copy.

It has the agent's command line, configuration file, log and local API, as far as pyngrok and we use them; and what
goes over the network is real, for ngrok's own SDK does it. What it shows is that the agent is used rightly, not that
the agent is right. Like the agent it refuses a configuration with a field that it does not know.

    ngrok version
    ngrok start --none|--all|NAME... [--config FILE] [--log stdout|stderr|FILE] [--authtoken TOKEN]
    ngrok tcp ADDRESS [--url tcp://HOST:PORT] [--name NAME] and the same options
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
import time
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
        self._settings, self._log = settings, log
        self._loop = asyncio.get_running_loop()
        self._session: ngrok.Session | None = None
        self._endpoints: dict[str, tuple[ngrok.Listener, dict[str, Any]]] = {}

    async def connect(self) -> None:
        """Open the session; try again for as long as the service does not answer."""
        builder = ngrok.SessionBuilder().authtoken(self._settings.get("authtoken", ""))
        if "connect_url" in self._settings:
            builder = builder.server_addr(self._settings["connect_url"])
        if "connect_cas" in self._settings:
            builder = builder.root_cas(self._settings["connect_cas"])
        builder = builder.handle_stop_command(lambda: self._loop.call_soon_threadsafe(self.ended.set))
        while self._session is None:
            try:
                self._session = await builder.connect()
            except ValueError as error:
                if _code(error):
                    raise
                self._log.write("eror", "failed to reconnect session", obj="tunnels.session", err=error)
                await asyncio.sleep(RETRY_SECONDS)
        self._log.write("info", "tunnel session started", obj="tunnels.session")
        self._log.write("info", "client session established", obj="csess")

    async def open(self, name: str, upstream: str, url: str) -> str:
        """Open an endpoint, at the address in `url` when it has one, and return its URL."""
        builder = self._session.tcp_endpoint()
        wanted = url.removeprefix("tcp://")
        if wanted:
            builder = builder.remote_addr(wanted)
        listener = await builder.listen_and_forward(_upstream_url(upstream))
        self._endpoints[name] = listener, {"upstream": upstream}
        self._log.write("info", "started tunnel", obj="tunnels", name=name, addr=upstream, url=listener.url())
        return listener.url()

    async def close(self, name: str) -> bool:
        """Close an endpoint; say whether there was one of that name."""
        if name not in self._endpoints:
            return False
        listener, _ = self._endpoints.pop(name)
        await listener.close()
        return True

    def list(self) -> dict[str, tuple[str, str]]:
        """Return the upstream and the URL of each endpoint, by its name."""
        return {name: (facts["upstream"], listener.url()) for name, (listener, facts) in self._endpoints.items()}
