"""Machines that are reached by SSH from one where somebody types; they share a network of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

from box import Box, Machines

# It goes into the background before it listens, and writes its number when it does.
SSHD = "rm -f /run/sshd.pid; /usr/sbin/sshd -o ListenAddress={} && until test -s /run/sshd.pid; do sleep 0.05; done"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"


@contextlib.contextmanager
def fleet(machines: Machines, root: Path, addresses: Mapping[str, str]) -> Iterator[SimpleNamespace]:
    """Yield `home`, and by their names the others, each with a key of its own and a server at its address.

    An address is as in known_hosts: 127.0.0.2, or [127.0.0.1]:2222. The root has OpenSSH and a key of root's.
    """
    with contextlib.ExitStack() as stack:
        home, *others = (stack.enter_context(machines.box(root)) for _ in range(1 + len(addresses)))
        home.cut_network()
        home.run("hostname home")
        key = home.read("/root/.ssh/id_ed25519.pub")
        for (name, address), each in zip(addresses.items(), others, strict=True):
            each.join_network(home)
            each.write("/root/.ssh/authorized_keys", key, mode="600")
            each.run(
                f"hostname {name}; rm -f /etc/ssh/ssh_host_*; mkdir -p /run/sshd\n"
                f"ssh-keygen -q -t ed25519 -N '' -f {HOST_KEY}; {SSHD.format(address)}"
            )
        yield SimpleNamespace(home=home, **dict(zip(addresses, others, strict=True)))


def know_hosts(fleet: SimpleNamespace, addresses: Mapping[str, str]) -> None:
    """Have the machine where one types know the keys of the others."""
    for name, address in addresses.items():
        key = getattr(fleet, name).read(f"{HOST_KEY}.pub")
        fleet.home.run(f"echo '{address} {key.strip()}' >> ~/.ssh/known_hosts")


def fingerprint(box: Box) -> str:
    """Return the fingerprint of a machine's key, as ssh prints it."""
    return box.run(f"ssh-keygen -lf {HOST_KEY}").stdout.split()[1]
