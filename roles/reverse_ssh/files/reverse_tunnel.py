"""Keep a port of a gateway's loopback forwarded to a port of this machine: ``ssh -R``, begun anew whenever it ends.

The role reverse_ssh of provision puts this on a machine, where it runs in its own folder, on the standard library
alone and Python 3.9 or later. The folder has `config.json`, `known_hosts` and the key; here it writes `tunnel.json`,
which says whether the tunnel is up and at which port, and makes `control`, the socket of ssh's master connection.

autossh would not do: it starts the same command each time, so that a port which the gateway has chosen would be another
one after each break, and it says neither which port that is nor whether the tunnel is up.
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
PATIENCE = 10.0  # seconds in which a gateway may notice that the session which had the port is dead
LOGIN = 60.0  # seconds in which ssh must have logged in
LONGEST_PAUSE = 60.0
# What ssh says, in its debug messages alone, when the gateway opens the port to others than itself.
PUBLIC = "overridden by server GatewayPorts"
# What it says besides when all is well, a look at the tunnel among it.
NOISE = re.compile(r"debug|OpenSSH_|Authenticated to |Transferred: |Bytes per second: |channel \d+: open failed")
# This ends with what started it, so that no ssh holds the port after a kill.
BOUND = ("setpriv", "--pdeathsig", "TERM")


def read_json(path):
    """Return the JSON object in a file, an empty dict when there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def tell(state):
    """Write down how things stand, so that a reader never sees half of it, and in the log, too."""
    what = f"up at port {state['port']}" if state["up"] else "down: " + " / ".join(state["said"])
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), what, flush=True)
    new = STATE.with_suffix(".new")
    new.write_text(json.dumps(state), encoding="utf-8")
    new.replace(STATE)


class Session:
    """One connection to the gateway. `said` has the last lines in which ssh told what went wrong."""

    def __init__(self, config):
        self.said = deque(maxlen=20)
        self._rest = b""
        CONTROL.unlink(missing_ok=True)  # one that was killed left it, and ssh would do without
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
        """Return whether the gateway let us in: ssh makes its socket then."""
        end = time.monotonic() + LOGIN
        while self.hear(0.05):
            if CONTROL.exists():
                return True
            if time.monotonic() >= end:
                self.said.append("Connection timed out")
                return False
        return False

    def forward(self, port, local_port, patience):
        """Have the gateway listen at a port, 0 for any; return the port, 0 when it does not in so many seconds."""
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
        """Take in what ssh says in so many seconds, without end if none are given; return whether it still runs."""
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
    """Return the command of the connection: nothing of anybody's own settings, no question, and only a known host."""
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
    """Return the port that the gateway gave us: the one wanted, else the one of before, else any; 0 for none."""
    if config["port"]:
        return session.forward(config["port"], config["local_port"], PATIENCE)
    again = session.forward(last, config["local_port"], PATIENCE) if last else 0
    return again or session.forward(0, config["local_port"], 0)


def is_private(session):
    """Tell whether the gateway listens on its loopback alone, as it was asked to."""
    return not any(PUBLIC in line for line in session.said)


def keep_up(config, port, started):
    """Hold one session as long as it goes; return the port that it had, and whether it was up at all."""
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
    """End in good order, once: the signal may come from several."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


def main():
    """Run until SIGTERM comes."""
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
