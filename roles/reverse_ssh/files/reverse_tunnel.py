"""Forward a port on a gateway's loopback to a port of this machine: ``ssh -R``, restarted whenever it ends.

The role reverse_ssh of provision installs this program. It runs in its own folder, with Python 3.9 or later and the
standard library only. The folder has `config.json`, `known_hosts` and the key. The program writes `tunnel.json`, which
has the port and whether the tunnel is up, and makes `control`, the socket of ssh's master connection.

autossh does not fit: it repeats the same command, so a port chosen by the gateway would change with each reconnection,
and it reports neither that port nor whether the tunnel is up.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

STATE, CONTROL = Path("tunnel.json"), Path("control")
PATIENCE = 10.0  # seconds for the gateway to notice that the last session, which holds the port, is dead
LOGIN = 60.0  # seconds within which ssh must log in
LONGEST_PAUSE = 60.0
# A debug message of ssh: the gateway opens the port to other hosts.
PUBLIC = "overridden by server GatewayPorts"
# Harmless messages, including those of a check of the tunnel.
NOISE = re.compile(r"debug|OpenSSH_|Authenticated to |Transferred: |Bytes per second: |channel \d+: open failed")
# ssh ends with this program, so that it does not hold the port after a kill.
BOUND = ("setpriv", "--pdeathsig", "TERM")


def read_json(path):
    """Return the JSON object in a file, an empty dict if there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def tell(state):
    """Write the state to its file, atomically, and to the log."""
    what = f"up at port {state['port']}" if state["up"] else "down: " + " / ".join(state["said"])
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), what, flush=True)
    new = STATE.with_suffix(".new")
    new.write_text(json.dumps(state), encoding="utf-8")
    new.replace(STATE)


class Session:
    """One connection to the gateway. `said` has the last lines of ssh's errors."""

    def __init__(self, config):
        self.said = deque(maxlen=20)
        self._rest = b""
        CONTROL.unlink(missing_ok=True)  # a killed program leaves it, and ssh would then not make its own
        self._ssh = subprocess.Popen(
            [*BOUND, *master_command(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ssh.terminate()
        try:
            self._ssh.wait(5)
        except subprocess.TimeoutExpired:
            self._ssh.kill()
            self._ssh.wait()
        self._ssh.stderr.close()

    def log_in(self):
        """Return whether the login succeeded: ssh then makes its socket."""
        end = time.monotonic() + LOGIN
        while self.hear(0.05):
            if CONTROL.exists():
                return True
            if time.monotonic() >= end:
                self.said.append("Connection timed out")
                return False
        return False

    def forward(self, port, local_port, patience):
        """Let the gateway listen at a port, 0 for any; return the port, 0 if that fails for `patience` seconds."""
        end = time.monotonic() + patience
        while True:
            done = subprocess.run(
                [
                    "ssh",
                    "-F",
                    "none",
                    "-S",
                    str(CONTROL),
                    "-o",
                    "ProxyCommand=false",
                    "-O",
                    "forward",
                    "-R",
                    f"127.0.0.1:{port}:127.0.0.1:{local_port}",
                    "gateway",
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
            alive = self.hear(0)
            if done.returncode == 0:
                return port or int(done.stdout)
            if not alive or time.monotonic() >= end:
                self.said.extend(done.stderr.splitlines()[:1])
                return 0
            time.sleep(0.5)

    def hear(self, seconds=None):
        """Read ssh's output for so many seconds, or without limit; return whether it is still running."""
        file = self._ssh.stderr.fileno()
        if not select.select([file], [], [], seconds)[0]:
            return True
        more = os.read(file, 65536)
        *lines, self._rest = (self._rest + more).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").strip()
            if PUBLIC in text or (text and not NOISE.match(text)):
                self.said.append(text)
        return bool(more)


def master_command(config):
    """Return the command of the connection: without personal settings or questions, and only to a known host."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": "known_hosts",
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "CheckHostIP": "no",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "IdentityFile": config["identity"],
        "PreferredAuthentications": "publickey",
        "ConnectTimeout": "15",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "3",
        "ControlMaster": "yes",
        "ControlPath": str(CONTROL),
        "ControlPersist": "no",
    }
    settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    place = ["-p", str(config["gateway_port"]), "-l", config["gateway_user"], config["gateway_host"]]
    return ["ssh", "-F", "none", "-v", "-N", "-T", *settings, *place]


def ask_for_port(session, config, last):
    """Return the port on the gateway: the one wanted, else the last one, else any; 0 for none."""
    if config["port"]:
        return session.forward(config["port"], config["local_port"], PATIENCE)
    again = session.forward(last, config["local_port"], PATIENCE) if last else 0
    return again or session.forward(0, config["local_port"], 0)


def is_private(session):
    """Return whether the gateway listens on its loopback only, as requested."""
    return not any(PUBLIC in line for line in session.said)


def keep_up(config, port, started):
    """Hold one session until it ends; return its port, and whether it was ever up."""
    with Session(config) as session:
        given = ask_for_port(session, config, port) if session.log_in() else 0
        up = bool(given) and is_private(session)
        if up:
            session.said.clear()
            tell({"started": started, "port": given, "up": True, "said": []})
            while session.hear():
                pass
        said = list(session.said) or ["The connection ended"]
        tell({"started": started, "port": given or port, "up": False, "said": said})
        return given or port, up


def end(*_):
    """Exit cleanly, once: the signal may arrive several times."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


def main():
    """Run until SIGTERM arrives."""
    os.chdir(Path(__file__).resolve().parent)
    os.umask(0o077)
    signal.signal(signal.SIGTERM, end)
    config = read_json(Path("config.json"))
    started, port, pause = time.time(), read_json(STATE).get("port", 0), 1.0
    while True:
        port, was_up = keep_up(config, port, started)
        pause = 1.0 if was_up else min(2 * pause, LONGEST_PAUSE)
        time.sleep(pause)


if __name__ == "__main__":
    main()
