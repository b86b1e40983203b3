"""One run at a time: a run that changes this machine waits for any other run of the same user."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from provision import notebook
from provision.engine.events import Step
from provision.errors import OptionError, ProvisionError
from provision.machine import failures, file_lock
from provision.machine import lock as _lock

SECONDS: float = _lock.SECONDS
"""How long to wait for another run by default."""

# Whether this thread holds the lock: what it calls meanwhile is part of the same change.
_here = threading.local()


def checked(wait: float) -> float:
    """Return the number of seconds to wait; refuse anything else."""
    if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not wait >= 0:
        message = f"wait={wait!r} is not a number of seconds."
        raise OptionError(message, hint="Use 0 not to wait at all.", code="bad-value")
    return wait


@contextmanager
def held(
    command: str,
    wait: float = SECONDS,
    on_step: Callable[[Step], Any] | None = None,
    on_line: Callable[[str], Any] | None = None,
) -> Iterator[None]:
    """Hold the lock of this machine while the block runs, or fail after `wait` seconds with the code ``locked``."""
    if held_here():  # one block within another is part of it
        yield
        return
    waiting: list[str] = []

    def tell(line: str) -> None:
        if on_step:
            on_step(Step("done", note=line))
            on_step(Step("task", task="Waiting"))
            waiting.append(line)
        else:
            (on_line or _print)(line)

    with ExitStack() as stack:
        try:
            stack.enter_context(_lock.held(command, checked(wait), tell))
        except file_lock.Locked as error:
            raise ProvisionError(str(error), hint=error.hint, code="locked") from error
        except OSError as error:
            message, hint = failures.explain(error)
            raise ProvisionError(message, hint=hint, code="lock-folder") from error
        if on_step and waiting:
            on_step(Step("done", task="Waiting"))
        _here.held = True
        try:
            yield
        finally:
            _here.held = False


def held_here() -> bool:
    """Return whether this thread holds the lock."""
    return getattr(_here, "held", False)


def _print(line: str) -> None:
    print(line, file=notebook.stream(), flush=True)


def holder() -> dict[str, Any] | None:
    """Return the command, pid, host and start of the run that holds the lock; None if none does."""
    return _lock.holder()


def in_words(found: dict[str, Any]) -> str:
    """Return what `holder` returned as a sentence."""
    return f"This machine is being changed by {_lock.in_words(found)}."
