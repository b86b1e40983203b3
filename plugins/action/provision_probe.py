"""Look at a machine for several roles in one round trip, changing nothing."""

from __future__ import annotations

import json
from pathlib import Path

from ansible.plugins.action import ActionBase

DOCUMENTATION = """
module: provision_probe
short_description: Look at a machine for several roles in one round trip
description:
  - Runs a checker of the standard library alone on the target's Python and returns what has drifted.
  - Nothing is copied to the target and nothing is changed there, in check mode too.
options:
  roles:
    type: dict
    required: true
    description: For each role what is wanted, as the role's variable C(__<role>_wanted) says it.
"""

_CHECKS = Path(__file__).resolve().parents[1] / "module_utils" / "provision_checks.py"
# What the target prints besides, a login message say, stands before this mark.
_MARK = "provision-probe:"


class ActionModule(ActionBase):
    """Send the checker over standard input: no AnsiballZ, no temporary files, one command."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return what the checker found, as the task's result."""
        result = super().run(tmp, task_vars)
        result["changed"] = False
        roles = json.dumps(self._task.args["roles"], default=str)
        python = (task_vars or {}).get("ansible_python_interpreter") or "/usr/bin/python3"
        source = f"{_CHECKS.read_text()}\nprint({_MARK!r} + json.dumps(look(json.loads({roles!r}))))\n"
        # -I and -S keep the user's modules and site packages out: the checker needs neither and starts faster.
        answer = self._low_level_execute_command(
            f"{self._templar.template(python)} -IS -", in_data=source.encode(), sudoable=True
        )
        _, mark, found = answer["stdout"].rpartition(_MARK)
        if not mark:
            said = (answer["stderr"] or answer["stdout"]).strip().splitlines()
            return dict(
                result, failed=True, rc=answer["rc"],
                msg=f"The machine could not be looked at with {python}: {said[-1] if said else 'no answer'}",
            )
        return dict(result, **json.loads(found))
