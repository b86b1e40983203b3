"""Steps of runs, as an engine gives them."""

from provision.engine.events import Step

LOST = "Note: " + "The store is gone, and this build will not be kept. " * 4


def run(shown, clock, seconds, role="mrtrix3", task="Unpack", host="localhost", **done):
    shown.step(Step("task", role, task))
    clock.sleep(seconds)
    shown.step(Step("done", role, task, host, **done))


def compile_(shown, clock, total=400, seconds=2.0, upto=None):
    """Start a long task and take it some steps on."""
    shown.step(Step("task", "mrtrix3", "Compile"))
    for number in range(1, (total if upto is None else upto) + 1):
        clock.sleep(seconds)
        shown.step(Step("work", "mrtrix3", "Compile", number=number, total=total, unit="steps"))


def on_hosts(shown):
    """Start a task on two hosts, one of which says how far it is."""
    shown.step(Step("task", "mrtrix3", "Compile"))
    for host in ("node1", "node2"):
        shown.step(Step("task", "mrtrix3", "Compile", host))
    shown.step(Step("work", "mrtrix3", "Compile", "node2", number=145, total=401, unit="steps"))
