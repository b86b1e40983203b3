"""Ports of the loopback for servers that are told which one to take."""

from __future__ import annotations

import random
import socket
from pathlib import Path

# Not that of the module, which a test may have seeded in every process alike.
_random = random.SystemRandom()


def free_port() -> int:
    """Return a port that nobody has, and that the kernel gives to nobody who asks for any, as it does with others."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = _random.randrange(max(1024, first - 12_000), max(first, 2048))
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
