"""Run cells in a kernel as a notebook does, stop it in every way there is, and tell what came of it.

    kernel.py < STORY

reads a list of steps as JSON, and prints as JSON what came of each: `said` (what stands below the cell), `seconds`,
`left` (the processes that were not there before and are there still) and `ending`, the seconds that it took them to go.
A step has the `cell`, and where it is to be stopped `when`, a shell command that succeeds as soon as it is time once
the cell has begun, and `how`: a name of `WAYS`.
"""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from jupyter_client.manager import KernelManager

SECONDS = 600
# How long what was stopped may take to end after its kernel has died: apt finishes what it has begun.
GRACE = 120


def ask_to_interrupt(manager, client) -> None:
    client.control_channel.send(client.session.msg("interrupt_request", {}))


def restart(manager, client) -> None:
    manager.restart_kernel()


def kill(manager, client) -> None:
    os.kill(manager.provisioner.pid, signal.SIGKILL)
    manager.restart_kernel(now=True)


WAYS = {
    "message": ask_to_interrupt,
    "signal": lambda manager, client: manager.interrupt_kernel(),
    "restart": restart,
    "kill": kill,
}
ENDS_THE_KERNEL = ("restart", "kill")


def main(story: list[dict]) -> list[dict]:
    """Return what came of each step."""
    manager = KernelManager()
    manager.start_kernel()
    client = connected(manager)
    told = []
    try:
        for step in story:
            before, begin = processes(), time.monotonic()
            said = run(manager, client, step)
            ended = time.monotonic()
            if step.get("how") in ENDS_THE_KERNEL:
                client.stop_channels()
                client = connected(manager)
            stayed = left(before, manager.provisioner.pid, GRACE if step.get("how") in ENDS_THE_KERNEL else 0)
            times = {"seconds": round(ended - begin, 1), "ending": round(time.monotonic() - ended, 1)}
            told.append({"said": said, "left": stayed, **times})
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return told


def connected(manager: KernelManager):
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=SECONDS)
    return client


def run(manager: KernelManager, client, step: dict) -> str:
    """Run a cell, stop it when it is time, and return what stands below it in the end."""
    asked, outputs, due, begun = client.execute(step["cell"]), {}, step.get("when"), False
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if due and begun and subprocess.run(due, shell=True, capture_output=True).returncode == 0:
            due = None
            WAYS[step["how"]](manager, client)
            if step["how"] in ENDS_THE_KERNEL:
                break
        try:
            message = client.get_iopub_msg(timeout=0.1)
        except queue.Empty:
            continue
        if message["parent_header"].get("msg_id") != asked:
            continue
        content = message["content"]
        begun = begun or message["msg_type"] == "execute_input"
        if content.get("execution_state") == "idle":
            if begun:
                break
            asked = client.execute(step["cell"])  # a kernel drops what is asked while an interrupted cell ends
            continue
        # What is shown anew in its place is told once, as it was last.
        place = content.get("transient", {}).get("display_id", len(outputs))
        outputs[place] = text(content)
    else:
        raise TimeoutError(f"{step} did not end: {outputs}, {processes()}")
    return re.sub(r"\x1b\[\d*m", "", "".join(outputs.values()))


def text(content: dict) -> str:
    traceback = "\n".join(content.get("traceback", []))
    return traceback or content.get("text") or content.get("data", {}).get("text/plain", "")


def processes() -> dict[int, str]:
    """Return the command of each process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found[int(path.parent.name)] = path.read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
    return {pid: command for pid, command in found.items() if command}


def left(before: dict[int, str], kernel: int, grace: float) -> list[str]:
    """Return the commands of the processes that go on, after some time, though what they belonged to has ended."""
    end = time.monotonic() + grace
    while True:
        found = [command for pid, command in processes().items() if pid not in (*before, kernel)]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.1)


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
