"""Check several roles on a machine in one round trip, read-only; modules/provision_probe.py documents it."""

from __future__ import annotations

import base64
import difflib
import functools
import gc
import importlib
import json
import multiprocessing
import os
import re
import shlex
import sys
import zlib
from collections import ChainMap
from pathlib import Path
from types import ModuleType

import yaml
from ansible import context
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import become_loader
from ansible.template import is_trusted_as_template
from ansible.utils.display import Display

_PROJECT = Path(__file__).resolve().parents[2]
_MACHINE = _PROJECT / "plugins" / "module_utils" / "provision"
_ROLES = _PROJECT / "roles"
# The program for the target: it imports the modules it was sent, under their names here.
_PROGRAM = """
import binascii, json, sys, zlib
from importlib.machinery import ModuleSpec

class Sent:
    def find_spec(name, path=None, target=None):
        return ModuleSpec(name, Sent, is_package=sources[name][0]) if name in sources else None
    def create_module(spec):
        return None
    def exec_module(module):
        text = zlib.decompress(binascii.a2b_base64(sources[module.__name__][1]))
        exec(compile(text, module.__name__, "exec"), module.__dict__)

sources = json.loads({sources!r})
sys.meta_path.insert(0, Sent)
from provision_probe.{asked} import {asked} as ask
print({mark!r} + json.dumps(ask(json.loads({roles!r}))))
"""
# The functions of the machine's code that can be asked for; each has the name of its module.
_QUESTIONS = ("look", "status", "doctor")
# Finds a Python of the target that is new enough and works, names it, and has it run the program.
_FIND = """for python in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9; do
if "$python" -c 'import json, sys, zlib; sys.exit(sys.version_info < (3, 9))' < /dev/null > /dev/null 2>&1; then
echo "{mark}$(command -v "$python")"; exec "$python" -IS -; fi; done
echo "there is no Python 3.9 or newer" >&2; exit 127"""
_FOUND = "provision-python:"
# Anything else that the target prints, such as a login message, comes before this mark.
_MARK = "provision-probe:"
_PACKAGE = "_provision_machine"
_VARIABLE = re.compile(r"\{\{ (\w+) \}\}")
# What plays and runs set themselves, besides the options of roles.
_SETTINGS = (
    "provision_folder", "provision_kernel", "provision_leaving", "provision_lock", "provision_progress",
    "provision_python", "provision_removing", "provision_role", "provision_roles", "provision_seen", "provision_wait",
)  # fmt: skip
# How alike two names are, from 0 to 1, if one is a slip for the other: a letter more, or two in the wrong order.
_ALIKE = 0.85


def _machine(name):
    """Return a module of the machine's code, whose package has another name in a collection."""
    if _PACKAGE not in sys.modules:
        sys.modules[_PACKAGE] = ModuleType(_PACKAGE)
        sys.modules[_PACKAGE].__path__ = [str(_MACHINE)]
    return importlib.import_module(f"{_PACKAGE}.{name}")


@functools.cache
def _packed(path):
    """Return whether a module is a package, and its text as it is sent."""
    return path.endswith("__init__.py"), base64.b64encode(zlib.compress(Path(path).read_bytes())).decode()


def _sources(asked, roles):
    """Return the modules that a question about some roles needs, by their names there: what is imported for it here."""
    _machine(asked)
    for role in roles:
        _machine("look").look_of(role)
    loaded = {name: module for name, module in sys.modules.items() if name.startswith(f"{_PACKAGE}.")}
    found = {name.replace(_PACKAGE, "provision_probe", 1): _packed(module.__file__) for name, module in loaded.items()}
    return {"provision_probe": _packed(str(_MACHINE / "__init__.py")), **found}


# Ansible imports this once, and then has a process for each machine, which need not do the same again.
_sources("look", [])
# As a variable of the play, Ansible would read the file again for each task and machine.
_KNOWN = yaml.safe_load((_PROJECT / "playbooks" / "vars" / "roles.yml").read_text())["provision_known_roles"]
# Else the collector of each process would write to, and so copy, the memory that they all share.
gc.freeze()


def _filled(templar, value, variables):
    """Return what a role's templates come to; most are just a variable, which is looked up without compiling them."""
    if isinstance(value, dict):
        return {key: _filled(templar, item, variables) for key, item in value.items()}
    name = _VARIABLE.fullmatch(value) if isinstance(value, str) and is_trusted_as_template(value) else None
    return templar.template(variables[name[1]] if name and name[1] in variables else value)


class UnknownRole(ValueError):
    """A role that does not exist."""


class ActionModule(ActionBase):
    """Send the checks over standard input: no AnsiballZ, no temporary files, one command."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the result of the checks."""
        result = super().run(tmp, task_vars)
        result["changed"] = False
        task_vars = task_vars or {}
        asked = self._task.args.get("ask", "look")
        if asked not in _QUESTIONS:
            return dict(result, failed=True, code="usage", msg=f"ask cannot be {asked!r}.", hint=", ".join(_QUESTIONS))
        if asked != "look":
            return self._described(result, asked, task_vars)
        problem = self._take_turn(task_vars)
        if problem:
            return dict(result, failed=True, **problem)
        try:
            asked = {role: self._wanted(role, task_vars) for role in self._roles(task_vars)}
        except UnknownRole as error:
            return dict(result, failed=True, code="usage", msg=f"There is no role {str(error)!r}.")
        notes = " ".join(self._misspelt(asked, task_vars))
        if notes:  # for ansible-playbook, and for `provision run`
            Display().warning(f"{task_vars['inventory_hostname']}: {notes}")
            result["msg"] = f"Note: {notes}"
        common = self._common(task_vars)
        # Files that users name by a path are on the controller.
        look, here = _machine("look"), self._here(task_vars)
        wanted = {name: look.completed(name, one, common, here, str(_ROLES)) for name, one in asked.items()}
        if self._connection.transport != "local":
            wanted = {name: self._to_send(one, here) for name, one in wanted.items()}
        answer = self._ask("look", look.read_here(wanted), task_vars)
        result.update(answer)
        if answer.get("failed"):
            return result
        for name, answer in result["roles"].items():
            answer["wanted"] = asked[name]  # so that a role can see whether this is the answer for its options
        result["machine"]["can_become"] = common["can_become"]
        if self._task.args.get("report"):
            # As set_stats returns it. A separate task would take as long as all the checks.
            data = {"provision": {task_vars["inventory_hostname"]: result["ready"]}}
            result["ansible_stats"] = {"data": data, "per_host": False, "aggregate": True}
        return result

    def _described(self, result, asked, task_vars):
        """Return what a function of the machine's code says of the roles, as a report."""
        answer = self._ask(asked, self._roles(task_vars), task_vars)
        if not answer.get("failed"):
            facts = {name: answer.pop(name) for name in ("ansible_facts",) if name in answer}
            data = {"provision": {task_vars["inventory_hostname"]: {asked: answer}}}
            answer = dict(facts, ansible_stats={"data": data, "per_host": False, "aggregate": True})
        return dict(result, **answer)

    def _ask(self, asked, roles, task_vars):
        """Return what a function of the machine's code answers on the target, or why it could not be called."""
        sources = json.dumps(_sources(asked, roles))
        program = _PROGRAM.format(sources=sources, mark=_MARK, roles=json.dumps(roles), asked=asked)
        python = self._told("ansible_python_interpreter", task_vars) or ""
        if python.startswith("auto"):
            python = ""
        python = python or (task_vars.get("ansible_facts") or {}).get("discovered_interpreter_python", "")
        # It may be a command with arguments, or a path with spaces.
        command = shlex.quote(python) if Path(python).is_file() else python
        # -I and -S exclude the user's modules and site packages: the checks need neither, and start faster.
        command = f"{command} -IS -" if python else _FIND.format(mark=_FOUND)
        answer = self._low_level_execute_command(command, in_data=program.encode(), sudoable=True)
        before, mark, found = answer["stdout"].rpartition(_MARK)
        if not mark:
            said = (answer["stderr"] or answer["stdout"]).strip().splitlines()
            why = said[-1] if said else "no output"
            if answer["rc"] == 127:
                hint = "Install one, or set ansible_python_interpreter."
                msg = f"Python could not be started on the machine: {why}."
                return {"failed": True, "rc": 127, "msg": msg, "hint": hint, "code": "no-python"}
            msg = f"The machine could not be checked{f' with {python}' if python else ''}: {why}"
            return {"failed": True, "rc": answer["rc"], "msg": msg}
        answer = json.loads(found)
        if not python:
            # As Ansible does for what it finds by itself: the next tasks take it as well.
            path = before.rpartition(_FOUND)[2].strip()
            answer["ansible_facts"] = {"discovered_interpreter_python": path}
        return answer

    def _to_send(self, wanted, here):
        """Return what a role wants of another machine, with the path of its archive if that is a file here."""
        archive = wanted.get("archive") or {}
        url = archive.get("url") or ""
        path = os.path.join(here, os.path.expanduser(url))
        if not url or "://" in url or not os.path.isfile(path):
            return wanted
        return dict(wanted, archive=dict(archive, here=path))

    def _roles(self, task_vars):
        """Return the roles to ask about: those named, or those of the play, in the order in which they run."""
        if "roles" in self._task.args:
            return list(self._task.args["roles"])
        if self._task.args.get("ask", "look") != "look":
            return list(_KNOWN)
        asked = self._told("provision_roles", task_vars, [name for name in _KNOWN if "usual" in _KNOWN[name]])
        # One that there is not stays in the list, and fails.
        return [*(name for name in _KNOWN if name in asked), *(name for name in asked if name not in _KNOWN)]

    def _wanted(self, role, task_vars):
        """Return what a role wants, its variable ``__ROLE_wanted``, which is already loaded inside the role."""
        name = f"__{role}_wanted"
        if name not in task_vars:
            folder = _ROLES / role
            # Only a name, never a path to another folder, whose content would be run as templates.
            if not (str(role).isidentifier() and (folder / "vars").is_dir()):
                raise UnknownRole(role)
            # In Ansible's order of precedence.
            defaults = (self._variables(place / "defaults") for place in (_ROLES / "_tool", folder))
            parts = (*defaults, task_vars, self._variables(folder / "vars"))
            task_vars = dict(ChainMap(*reversed(parts)))
        templar = self._templar.copy_with_new_env(available_variables=task_vars)
        wanted = json.loads(json.dumps(_filled(templar, task_vars[name], task_vars), default=str))
        # During a removal the state is always absent.
        return dict(wanted, state="absent") if self._told("provision_removing", task_vars) else wanted

    def _misspelt(self, roles, task_vars):
        """Return a sentence on each variable that seems to be a misspelt option of the roles: no role would read it."""
        prefixes = ("provision_", *(f"{role}_" for role in roles))
        given = {name for name in task_vars if name.startswith(prefixes)}.difference(_SETTINGS)
        if not given or "provision_seen" in task_vars:  # then the play's own check has said it
            return []
        folders = (_ROLES / "_tool", *(_ROLES / role for role in roles))
        known = {*_SETTINGS}.union(*(self._variables(folder / "defaults") for folder in folders))
        meant = {name: difflib.get_close_matches(name, known, 1, _ALIKE) for name in sorted(given - known)}
        return [f"{name} is not an option. Did you mean {near[0]}?" for name, near in meant.items() if near]

    def _told(self, name, task_vars, default=None):
        return self._templar.template(task_vars.get(name, default))

    def _common(self, task_vars):
        """Return what the checks of all roles need to know."""
        is_local = self._connection.transport == "local"
        return {
            # The base of relative paths; on another machine, the user's home there.
            "folder": self._here(task_vars) if is_local else "",
            # Whether to check a shell's PATH; in a notebook's kernel the run itself takes care of that.
            "shell": not boolean(self._told("provision_kernel", task_vars, False)),
            # Whether Ansible has a password for sudo.
            "can_become": self._can_become(task_vars),
            # In check mode, the roles that would have been removed by now, with their packages.
            "leaving": self._told("provision_leaving", task_vars, []),
        }

    def _here(self, task_vars):
        """Return the folder of the user who started the run."""
        return self._told("provision_folder", task_vars, os.environ.get("PWD", ""))

    def _variables(self, folder):
        # Nothing changes it: a copy would take longer than to read it.
        return self._loader.load_from_file(str(folder / "main.yml"), unsafe=True, trusted_as_template=True) or {}

    def _take_turn(self, task_vars):
        """Let ansible-playbook hold this machine's lock until it ends; return why it cannot, else {}.

        Except in check mode, changes follow the checks. `provision` holds the lock itself.
        """
        if self._connection.transport != "local" or self._task.check_mode or task_vars.get("provision_lock"):
            return {}
        lock = _machine("lock")
        names = [os.path.basename(name) for name in context.CLIARGS.get("args") or ()]
        command = " ".join(["ansible-playbook", *names])
        wait = self._templar.template(task_vars.get("provision_wait", lock.SECONDS))
        # The process of a task ends with it; its parent is ansible-playbook itself.
        parent = multiprocessing.parent_process()
        try:
            lock.keep(parent.pid if parent else os.getpid(), command, float(wait), Display().display)
        except ValueError:
            msg = f"provision_wait must be a number of seconds, not {wait!r}."
            return {"msg": msg, "hint": "Use 0 to not wait at all.", "code": "bad-value"}
        except _machine("file_lock").Locked as error:
            return {"msg": str(error), "hint": error.hint, "code": "locked"}
        except OSError as error:
            msg, hint = _machine("failures").explain(error)
            return {"msg": msg, "hint": hint, "code": "lock-folder"}
        return {}

    def _can_become(self, task_vars):
        """Return whether Ansible has a password for sudo, from any source, or another way to become root."""
        if (task_vars.get("ansible_become_method") or self._task.become_method) != "sudo":
            return True
        sudo = become_loader.get("sudo")
        sudo.set_options(var_options=task_vars)
        return bool(self._play_context.become_pass or sudo.get_option("become_pass"))
