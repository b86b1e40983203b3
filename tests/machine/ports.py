"""Ports for what is started later."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """Return a port of the loopback that nobody has; from below those that the kernel gives to whoever asks for any."""
    while True:
        port = random.randrange(20_000, 32_000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
