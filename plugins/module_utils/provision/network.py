"""Checks of the network and of the clock: what a run may need is asked all at once, and nothing is waited for long.

Each finding is (verdict, what was found, advice), as in doctor.py.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime

from . import reach
from .amounts import format_seconds

SECONDS = 2.5
"""How long all checks of a machine together may take: a dead mount can block one for ever."""

_SLOW_CLOCK, _WRONG_CLOCK = 60, 3600
_NEEDED_FOR = {
    "apt": "Packages cannot be installed, only builds from a store or an archive.",
    "pip": "Python packages cannot be installed; the roles mrtrix3 and mrpeek need none.",
    "git": "MRtrix3 cannot be built from source, unless mrtrix3_repo is a local clone.",
    "ngrok": "Tunnels through ngrok cannot be opened.",
}


def begun(function):
    """Call a function in a thread that nothing has to wait for, not even the end of this process."""
    future = Future()

    def work():
        try:
            future.set_result(function())
        except Exception as error:  # one odd thing must not keep the other checks from being shown
            future.set_exception(error)

    threading.Thread(target=work, name="provision-doctor", daemon=True).start()
    return future


def ask(roles):
    """Begin to ask the servers that the roles may need; return what `found` waits for."""
    return {name: begun(question) for name, question in _questions(roles).items()}


def found(asked, end, newest=0.0):
    """Return the findings by name, those of servers that have answered by the end, a time of the monotonic clock.

    The newest is when something that is on this machine was written, in seconds since 1970.
    """
    answers = {name: _answer(future, end) for name, future in asked.items()}
    findings = {f"network: {name}": check_server(name, answer) for name, answer in answers.items()}
    theirs = next((answer.time for answer in answers.values() if answer and answer.time), 0.0)
    findings["clock"] = check_clock(time.time(), theirs, newest)
    return {name: finding for name, finding in findings.items() if finding}


def _questions(roles):
    """Return the questions to servers, by the names under which the answers are shown."""
    questions = {"apt": _ask_apt, "pip": _ask_pip, "git": lambda: reach.ask(reach.GIT)}
    return {**questions, "ngrok": lambda: reach.connect(*reach.NGROK)} if "ngrok" in roles else questions


def _ask_apt():
    page = reach.apt_page()
    return reach.ask(page, reach.apt_proxies()) if page else None


def _ask_pip():
    page = reach.pip_page()
    return reach.ask(page) if page else None


def _answer(future, end):
    """Return the answer of a server; None if there is no server to ask."""
    try:
        return future.result(max(0.0, end - time.monotonic()))
    except NotInTime:  # looking up a name has no time limit; apt and pip are abandoned, too
        return reach.Answer("", "no answer in time")
    except Exception as error:
        return reach.Answer("", f"it could not be contacted: {error}")


def check_server(name, answer):
    """Check whether a server that a run may need can be reached; None if none is needed."""
    if answer is None:
        return None
    if answer.problem:
        return "warn", ": ".join(filter(None, (answer.host, answer.problem))), _NEEDED_FOR[name]
    return "ok", answer.host, ""


def check_clock(here, there, newest=0.0):
    """Compare this machine's clock with a server's, both in seconds since 1970; 0 if no server gave its time."""
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(here))
    advice = "Set it: with a wrong clock, certificates, tokens and apt's lists are rejected."
    if not there:
        # Nothing that is here can have been written in the future.
        wrong = newest > here + _WRONG_CLOCK
        return ("fail", f"{now}, but some files are newer", advice) if wrong else (
            "ok", f"{now}, not compared with a server", ""
        )  # fmt: skip
    off = abs(here - there)
    if off < _SLOW_CLOCK:
        return "ok", f"{now}, in agreement with servers", ""
    said = f"{now}, {format_seconds(off)} {'behind' if here < there else 'ahead'}"
    return "fail" if off >= _WRONG_CLOCK else "warn", said, advice
