"""What Ansible's events mean: functions that turn an event into a step, a failure or a report."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from provision.engine import catalog


@dataclass(frozen=True)
class Step:
    """One piece of progress during a run.

    Attributes
    ----------
    kind : {"task", "done", "work"}
        A task has started, has ended, or reports how far it is.
    role, task, host : str
        Where the run is now.
    changed : bool
        For ``"done"``: whether the task changed the machine.
    skipped : bool
        For ``"done"``: whether the task had nothing to do.
    failed : bool
        For ``"done"``: whether the task failed; the run may still continue another way.
    number, total : int
        For ``"work"``: how many units (compile steps, bytes) are done, and of how many; total 0 means unknown.
    unit : str
        For ``"work"``: what the units are, for example ``"steps"``.
    share : float, optional
        For ``"work"``: how much of the time is over, from 0 to 1, if the units differ in how long they take.
    seconds : float, optional
        For ``"done"``: how long it took, where that is not the time since it began.
    note : str
        For ``"done"``: a note for people, in whole sentences; usually empty.
    """

    kind: str
    role: str = ""
    task: str = ""
    host: str = ""
    changed: bool = False
    skipped: bool = False
    failed: bool = False
    number: int = 0
    total: int = 0
    unit: str = ""
    share: float | None = None
    seconds: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Failure:
    """A task that failed, in words for people."""

    message: str
    hint: str = ""
    role: str = ""
    task: str = ""
    host: str = ""
    said: tuple[str, ...] = ()  # the last lines of what the program said that failed, where that is more
    code: str = "failed"
    first: str = ""  # the first line that Ansible said of it


# What the modules count.
_UNITS = ("bytes", "steps")

# How many lines of a program's output are shown for a failure.
_LINES_SAID = 10

# Messages of other programs and what they mean, observed with sudo(8), apt-get(8), git(1) and OpenSSH of Debian 12
# and 13.
_KNOWN = (
    (
        r"Incorrect sudo password|Duplicate become password prompt|Sorry, try again",
        "sudo did not accept the password.",
        "Type your login password, or ask an administrator.",
        "wrong-sudo-password",
    ),
    (
        r"is not in the sudoers file|[Uu]ser \S+ is not allowed to (?:execute|run)",
        "sudo does not let this user install packages.",
        "Ask an administrator to install them or to allow it; a saved build needs no packages.",
        "not-in-sudoers",
    ),
    (
        r"waiting for privilege escalation prompt",
        "sudo neither asked for a password nor answered.",
        "Check that `sudo true` works on that machine, or run it as root.",
        "sudo-silent",
    ),
    (
        r"sudo: (?:command )?not found|No such file or directory: '?sudo",
        "Installing packages needs root, and sudo is not installed.",
        "Run it as root.",
        "no-sudo",
    ),
    (
        r"Missing sudo password|sudo: a password is required",
        "Installing packages needs root, and sudo asks for a password.",
        "Run it again with --ask-become-pass, or as root.",
        "sudo-password",
    ),
    (
        # A sentence of a role, in its own words.
        r"\A[^\n]*only an administrator can install",
        "",
        "",
        "sudo-password",
    ),
    (
        r"Unable to execute ssh command line on a controller: \[Errno 2\]",
        "ssh is not installed on the machine where you type.",
        "Install it, for example with sudo apt-get install openssh-client.",
        "not-installed",
    ),
    # Sentences of the roles, in their own words.
    (r"\A[^\n]*mounted with noexec", "", "", "noexec"),
    (r"\A[^\n]*mounted read-only", "", "", "read-only"),
    (r"\A[^\n]*on a disk that is full", "", "", "disk-full"),
    (
        r"No space left on device|not enough free space|Disk quota exceeded",
        "The disk is full.",
        "Free some space and run it again.",
        "disk-full",
    ),
    (
        r"Could not get lock|is held by process|Failed to lock (apt|directory)",
        "Another package manager is running and did not finish in time.",
        "Wait for it to finish and run it again.",
        "apt-locked",
    ),
    (
        r"No package matching '(?P<name>[^']+)'",
        "The distribution has no package '{name}'.",
        "The package lists may be outdated: run apt-get update, and check /etc/apt/sources.list.",
        "no-package",
    ),
    (
        r"Temporary failure resolving '(?P<name>[^']+)'|Could not resolve '(?P<other>[^']+)'|"
        r"Failed to fetch (?P<url>\S+)",
        "{name} could not be reached.",
        "Check the network and run it again.",
        "unreachable",
    ),
    (
        # This also follows if the lists could not be fetched.
        r"Unable to locate package (?P<name>\S+)",
        "The distribution has no package '{name}'.",
        "The package lists may be outdated: run apt-get update, and check /etc/apt/sources.list.",
        "no-package",
    ),
    (
        r"urlopen error \[Errno 2\] No such file or directory: '(?P<name>[^']+)'",
        "There is no file {name}.",
        "source",
        "no-file",
    ),
    (
        r"HTTP Error (?P<name>\d+: [^,.\n]+)",
        "The file could not be downloaded: the server answered {name}.",
        "source",
        "http-error",
    ),
    (
        r"The checksum for \S+ did not match (?P<name>\w+); it was (?P<name2>\w+)",
        "The file has the wrong SHA-256: {name2}, not {name}.",
        "checksum",
        "wrong-checksum",
    ),
    # Taken as it is, from the last origin that was tried.
    (r"is not the commit that (MRtrix3 released|it has to be)|of a commit, not ", "", "", "wrong-commit"),
)

# Messages of ssh(1) for a machine that it cannot connect to.
_SSH = (
    (
        r"IDENTIFICATION HAS CHANGED",
        "its host key has changed.",
        "If it was reinstalled, remove the old key with ssh-keygen -R; if not, the connection may be intercepted.",
        "host-key-changed",
    ),
    (
        r"Host key verification failed",
        "its host key is unknown.",
        "Connect once with ssh and compare the fingerprint, or add the key to ~/.ssh/known_hosts.",
        "host-key-unknown",
    ),
    (r"Permission denied", "it accepts none of this user's keys.", "Try to connect with ssh.", "ssh-denied"),
    # ssh says nothing where what it was connected to is gone.
    (r"over ssh: *(\n|$)", "the connection broke off.", "See whether it is running.", "host-unreachable"),
)

# Ansible's words for a module that ended without an answer.
_NO_ANSWER = r"MODULE FAILURE|Module result deserialization failed|No start of json char found"
_TRACEBACK = "Traceback (most recent call last):"
_KILLED = (137, -9)  # exit codes of a shell and of a process that SIGKILL has ended

# If a hint above is one of these words, the advice depends on the role: the suffixes of the options that say what to
# download, the advice if the role has such an option, and the advice if it has none.
_ADVICE = {
    "source": (
        ("_archive", "_url"),
        "Check {option}.",
        "Run it again later; if it fails again, the role {role} needs another address.",
    ),
    "checksum": (
        ("_sha256",),
        "Check {option}, or build or download the file again.",
        "Run it again in case the download was cut off; if it fails again, the role {role} expects another file.",
    ),
}


def step(event: dict) -> Step | None:
    """Return the step that an event stands for; None for events that people need not see."""
    kind, data = event.get("event", ""), _mapping(event, "event_data")
    if kind == "playbook_on_task_start":
        return Step("task", *_where(data)[:2])
    if kind == "runner_on_start":
        return Step("task", *_where(data))
    if kind in ("runner_on_ok", "runner_on_skipped", "runner_on_failed", "runner_on_unreachable"):
        result = _mapping(data, "res")
        return Step(
            "done",
            *_where(data),
            changed=bool(result.get("changed")),
            skipped=kind == "runner_on_skipped",
            failed=kind in ("runner_on_failed", "runner_on_unreachable"),
            note=_note(result),
        )
    # A task of ours waits for whoever changes that machine: plugins/module_utils/provision_lock.py.
    if kind == "verbose" and str(event.get("stdout", "")).startswith("Waiting for "):
        return Step("done", note=event["stdout"].strip())
    return None


def work(said: bytes) -> dict | None:
    """Return how far a host says it is, as fields of a step; None unless it is numbers of a unit known here."""
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("unit") not in _UNITS:
        return None
    number, total, share = (found.get(name) for name in ("number", "total", "share"))
    if not all(type(count) is int and 0 <= count < 2**63 for count in (number, total)):
        return None
    if share is not None and not (isinstance(share, int | float) and 0 <= share <= 1):
        return None
    return {"number": number, "total": total, "unit": found["unit"], "share": share}


class ToolNames:
    """Labels the work of the role ``_tool`` with the role that included it."""

    def __init__(self):
        self._including = ""

    def put(self, event: dict) -> None:
        """Set the role in an event."""
        data = _mapping(event, "event_data")
        if data.get("role") == "_tool":
            data["role"] = self._including
        elif str(data.get("task_action")).endswith("include_role"):
            self._including = data.get("role", "")


def _mapping(data: dict, name: str) -> dict:
    """Return a mapping from an event, an empty one if it holds anything else: modules may return what they like."""
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _where(data: dict) -> tuple[str, str, str]:
    """Return the role, task and host of an event."""
    role, task, host = (str(data.get(name) or "") for name in ("role", "task", "host"))
    return role, task, host


def _note(result: dict) -> str:
    """Return the message of a debug task that is meant for people: one that begins with Note."""
    said = result.get("msg")
    return said if isinstance(said, str) and said.startswith("Note: ") else ""


def explain(text: str, role: str = "") -> tuple[str, str, str]:
    """Return a sentence, a hint and a code for a program's error text; empty strings if it is unknown."""
    for pattern, message, hint, code in _KNOWN:
        found = re.search(pattern, text)
        if found:
            names = {key: value for key, value in found.groupdict().items() if value}
            first = next(iter(names.values()), "")
            return message.format_map({"name": first, **names}), _advice(hint, role), code
    return "", "", ""


def _advice(hint: str, role: str) -> str:
    """Return the hint, with the option of the failed role if it needs one."""
    if hint not in _ADVICE:
        return hint
    ends, with_option, without = _ADVICE[hint]
    known = catalog.roles().get(role)
    options = [name for name in known.options if name.endswith(ends)] if known else []
    return with_option.format(option=" and ".join(options)) if options else without.format(role=role or "that failed")


def failure(event: dict) -> Failure | None:
    """Return the failure if an event is one that the playbook does not ignore."""
    kind, data = event.get("event", ""), _mapping(event, "event_data")
    if kind not in ("runner_on_failed", "runner_on_unreachable") or data.get("ignore_errors"):
        return None
    result, where = _mapping(data, "res"), _where(data)
    # A message that comes with a hint is taken as it is; otherwise the output is looked up. Unknown output is taken as
    # it is, too: its first line is the sentence, the rest the hint. So are messages about apt, explained where it ran.
    said = "\n".join(str(result[key]) for key in ("msg", "stderr", "module_stderr") if result.get(key))
    message, hint, code = _ended(said, result)
    if not message and not result.get("hint"):
        message, hint, code = explain(said, where[0])
    if not message or said.startswith("apt cannot "):
        text = str(result.get("msg") or said).strip() or "The task failed without a message."
        first, _, rest = text.partition("\n")
        message, hint = _exit(result) or first, str(result.get("hint") or rest.strip())
    if kind == "runner_on_unreachable":
        message, hint, code = unreachable(where[2], message, said)
    lines = _last_lines(result)
    if all(line.strip() in f"{message}\n{hint}" for line in lines):
        lines = ()
    first = str(result.get("msg", "")).strip().partition("\n")[0]
    return Failure(message, hint, *where, lines, str(result.get("code") or code or Failure.code), first)


def _ended(said: str, result: dict) -> tuple[str, str, str]:
    """Return what went wrong if a module ended without an answer; empty strings if it gave one."""
    if not re.search(_NO_ANSWER, said):
        return "", "", ""
    texts = (str(result.get(key) or "").strip() for key in ("module_stderr", "stderr", "module_stdout"))
    lines = next(filter(None, texts), "it printed nothing").splitlines()
    why = _without_traceback(lines)[-1 if _TRACEBACK in lines else 0].strip()
    if result.get("rc") in _KILLED or lines[-1] == "Killed":
        return "This step was killed, perhaps because memory ran out.", "Run it again to resume.", "killed"
    if result.get("rc") == 127:
        return f"Python could not be started on the machine: {why}.", "Set ansible_python_interpreter.", "no-python"
    return f"This step crashed: {why}.", "See the log.", "module-error"


def unreachable(host: str, message: str, said: str) -> tuple[str, str, str]:
    """Return why a machine could not be reached, what to do and a code."""
    for pattern, why, hint, code in _SSH:
        if re.search(pattern, said):
            return f"{host} could not be reached: {why}", hint, code
    why = re.split("(?:via|over) ssh: ", message)[-1].strip().splitlines()[-1]
    return f"{host} could not be reached: {why}", "Check the inventory, and try ssh by hand.", "host-unreachable"


def _exit(result: dict) -> str:
    """Return a sentence for a failed command if Ansible reports only its exit code."""
    if "non-zero return code" not in str(result.get("msg")).lower() or "rc" not in result:
        return ""
    command = result.get("cmd")
    # Its name alone: the arguments may be long, and are in the log.
    name = str(command[0]).rpartition("/")[2] if command and isinstance(command, list) else "sh"
    return f"{'A command' if name == 'sh' else name} failed with exit code {result['rc']}."


def _last_lines(result: dict) -> tuple[str, ...]:
    """Return the last lines of a program's output, from the fields that modules use for it."""
    texts = (result.get("lines"), result.get("stderr"), result.get("module_stderr"), result.get("stdout"))
    said = next(filter(None, texts), "")
    lines = map(str, said) if isinstance(said, list) else str(said).splitlines()
    return tuple(_without_traceback([line.rstrip() for line in lines if line.strip()])[-_LINES_SAID:])


def _without_traceback(lines: list[str]) -> list[str]:
    """Return the lines with a traceback reduced to its last line, which names the error; the log has all of it."""
    if _TRACEBACK not in lines:
        return lines
    begin = lines.index(_TRACEBACK)
    return [*lines[:begin], lines[-1]]


def report(event: dict) -> dict | None:
    """Return what the roles reported, ``{host: {role: {...}}}``, from the final event of a run; None for any other."""
    if event.get("event") != "playbook_on_stats":
        return None
    reports = _mapping(_mapping(_mapping(event, "event_data"), "artifact_data"), "provision")
    return {host: roles for host, roles in reports.items() if isinstance(roles, dict)}


def wanted(event: dict) -> dict:
    """Return what each role wanted, ``{role: {...}}``, from the event of a play's look at a machine; {} for others."""
    data = _mapping(event, "event_data")
    if event.get("event") != "runner_on_ok" or not str(data.get("task_action")).endswith("provision_probe"):
        return {}
    roles = _mapping(_mapping(data, "res"), "roles")
    return {role: answer["wanted"] for role, answer in roles.items()}


def changes(event: dict) -> dict[str, int]:
    """Return how many tasks changed something on each host, from the final event of a run."""
    counts = _mapping(_mapping(event, "event_data"), "changed")
    return {host: count for host, count in counts.items() if type(count) is int}


def hosts(event: dict) -> set[str]:
    """Return the hosts on which anything was done, from the final event of a run."""
    counts = ("ok", "changed", "failures", "dark", "skipped", "rescued", "ignored")
    return {host for count in counts for host in _mapping(_mapping(event, "event_data"), count)}


def failed_hosts(event: dict) -> set[str]:
    """Return the hosts that failed or could not be reached; none if the final event is missing."""
    data = _mapping(event, "event_data")
    return {host for count in ("failures", "dark") for host in _mapping(data, count)}
