"""Which of several hosts makes a build, and which wait for its archive."""

from __future__ import annotations

import hashlib
import json

from .names import key_of

# Where a host has or puts things does not change what is built.
_PLACES = ("prefix", "link_dir", "store", "shell", "folder")


def build_of(wanted, look, machine, version, host):
    """Return a name for the build that a host wants; hosts with the same name can share one archive."""
    cpu = wanted.get("cpu", "auto")
    against = look.get("mrtrix3") or {}  # the one that a module is compiled against
    name = key_of({
        "tool": wanted["name"], "version": version, "belongs_to": look.get("belongs_to", ""),
        "release": machine["release"], "arch": machine["arch"], "cpu": machine["own_cpu"] if cpu == "auto" else cpu,
        "repo": wanted.get("repo", ""), "asked": look.get("commands", []), "complete": not look.get("commands"),
    })  # fmt: skip
    # All other options count as well, also those that an archive's name leaves out, such as the commit.
    rest = [
        {option: value for option, value in wanted.items() if option not in _PLACES},
        machine["glibc"], against.get("cpu"), bool(against.get("tree")),
        host if cpu == "native" or not look.get("store") else "",  # it is for this host alone, or would not be saved
    ]  # fmt: skip
    return f"{name}-{hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:8]}"


def choose(me, queued):
    """Return (the host that builds, those that wait for its archive); `queued` has what each host asked, in order.

    Each asks with ``build``, its name; ``tried``, the hosts that have had their turn; and ``unsaved``, why its build
    cannot be saved, so that it is the last choice.
    """
    mine = queued[me]
    # Those with another list are in another round, and do not answer in this one.
    here = [host for host, one in queued.items() if (one["build"], one["tried"]) == (mine["build"], mine["tried"])]
    left = [host for host in here if host not in mine["tried"]]
    builder = min(left, key=lambda host: bool(queued[host]["unsaved"]))
    return builder, tuple(host for host in left if host != builder)


def failed_alike(tried, failures):
    """Return the failure to compile that two of the hosts tried have in common, with these ``hosts``; {} if none.

    What does not compile on two hosts does not on the others, and to find out may take half an hour each. Other
    failures are a matter of the host, or quick.
    """
    seen = {}
    for host in tried:
        failure = failures.get(host, {})
        message = str(failure.get("msg") or "").partition("\n")[0]
        if message and "build_log" in failure:
            if message in seen:
                return dict(failure, hosts=[seen[message], host])
            seen[message] = host
    return {}
