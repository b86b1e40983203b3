"""Choose the host that builds for others; modules/provision_turn.py documents it."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

from ansible import constants
from ansible.plugins.action import ActionBase

_MACHINE = Path(__file__).resolve().parents[1] / "module_utils" / "provision"


def _machine(name):
    """Return a module of the machine's code, whose package has another name in a collection."""
    package = "_provision_machine"
    if package not in sys.modules:
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = [str(_MACHINE)]
    return importlib.import_module(f"{package}.{name}")


class ActionModule(ActionBase):
    """Ask for a turn, or choose among those who have asked: all on the controller, nothing is sent to the target."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return what this host asks for, or whose turn it is."""
        result = super().run(tmp, task_vars)
        _checked, given = self.validate_argument_spec({
            "build": {"type": "str"}, "wanted": {"type": "dict"}, "look": {"type": "dict"}, "machine": {"type": "dict"},
            "version": {"type": "str"}, "tried": {"type": "list", "elements": "str", "default": []},
        })  # fmt: skip
        variables = task_vars or {}
        answer = self._asked(given, variables) if given["build"] or given["wanted"] else self._chosen(variables)
        return dict(result, changed=False, **answer)

    def _asked(self, given, variables):
        host, build = variables["inventory_hostname"], given["build"]
        if not build:
            plain = json.loads(json.dumps([given["wanted"], given["look"], given["machine"]], default=str))
            build = _machine("store.turns").build_of(*plain, given["version"], host)
        return {
            "build": build,
            "tried": given["tried"],
            "unsaved": (given["look"] or {}).get("store_problem") or "",
            "title": (given["wanted"] or {}).get("title", ""),
            "before": self._failure(variables).get("msg", ""),
        }

    def _chosen(self, variables):
        me, known, turns = variables["inventory_hostname"], variables["hostvars"], _machine("store.turns")
        hosts = {host: known[host] for host in variables["ansible_play_batch"]}
        queued = {host: dict(one.get("_tool_queue") or {}) for host, one in hosts.items()}
        queued = {host: one for host, one in queued.items() if "build" in one}
        mine = queued[me]
        alike = turns.failed_alike(mine["tried"], {
            host: self._failure(hosts[host]) for host in mine["tried"] if host in hosts
            and self._failure(hosts[host]).get("msg", "") != queued.get(host, {}).get("before", "")
        })  # fmt: skip
        if alike:
            told = {name: alike[name] for name in ("msg", "code") if name in alike}
            hint = f"It failed in the same way on {' and '.join(alike['hosts'])}. {alike.get('hint') or ''}".strip()
            return dict(told, failed=True, hint=hint)
        builder, waiting = turns.choose(me, queued)
        # Where an archive lies that passes through here; Ansible deletes the folder when it ends.
        answer = {"builder": builder, "waiting": list(waiting), "folder": constants.DEFAULT_LOCAL_TMP}
        if me == builder and waiting and mine["title"]:
            who = waiting[0] if len(waiting) == 1 else f"{len(waiting)} hosts"
            answer["msg"] = f"Note: {me} builds {mine['title']} also for {who}."
        return answer

    @staticmethod
    def _failure(variables):
        """Return the last failure of a host that was rescued, {} if there is none."""
        return variables.get("ansible_failed_result") or {}
