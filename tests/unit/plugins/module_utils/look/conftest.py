"""What the role sshd would want of a machine."""

from .ssh_server import server  # noqa: F401
