"""Fail with a problem, a hint and a code; modules/provision_refuse.py documents it."""

from __future__ import annotations

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Fail on the controller: nothing is sent to the target."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the failure."""
        result = super().run(tmp, task_vars)
        _checked, given = self.validate_argument_spec(
            {
                "problem": {"type": "str", "required": True},
                "hint": {"type": "str", "default": ""},
                "code": {"type": "str", "default": "refused"},
            }
        )
        # A failure that is passed on may have neither: its message is explained where it is shown.
        more = {name: given[name] for name in ("hint", "code") if given[name]}
        return dict(result, failed=True, msg=given["problem"], **more)
