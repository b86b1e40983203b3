"""Whether a process or a port is alive; processes.py starts and stops them."""

from __future__ import annotations

from .reading import read_json, read_text


def boot_id():
    """Return the identifier of this boot of the kernel."""
    return read_text("/proc/sys/kernel/random/boot_id").strip()


def process(pid):
    """Return the ``state``, ``session`` and ``start`` of a process, an empty dict when there is none."""
    # Fields 3, 6 and 22 of proc_pid_stat(5). `start` distinguishes it from a later process with the same number.
    # The second field is the command's name, which may contain anything.
    fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return {"state": fields[0], "session": int(fields[3]), "start": int(fields[19])} if len(fields) > 19 else {}


def alive(found):
    """Return whether a process, as `process` describes it, is alive and not a zombie."""
    return found.get("state", "Z") not in ("Z", "X")


def running(pid_file):
    """Return the number of the process in a pid file, 0 if it has ended or was never started."""
    noted = read_json(pid_file)
    if not noted or noted.get("boot") != boot_id():
        return 0
    found = process(noted.get("pid"))
    return noted["pid"] if alive(found) and found["start"] == noted.get("start") else 0


def answers(host, port, banner="", seconds=2.0):
    """Return whether something accepts TCP connections at a port, and sends the banner first if one is given."""
    import socket  # the other checks do not need it, and start faster

    try:
        with socket.create_connection((host, port), timeout=seconds) as connection:
            said = b""
            while len(said) < len(banner):
                more = connection.recv(len(banner) - len(said))
                if not more:
                    return False
                said += more
            return said == banner.encode()
    except (OSError, OverflowError, ValueError):  # the last two for an invalid port or name
        return False
