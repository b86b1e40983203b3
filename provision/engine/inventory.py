"""Checks of a YAML inventory: Ansible itself only warns about keys it does not know, and ignores them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from provision.engine import launch
from provision.errors import OptionError
from provision.words import did_you_mean

# What a group of machines may have: Ansible's inventory plugin `yaml`.
_GROUP = ("hosts", "vars", "children")


class _Loader(yaml.SafeLoader):
    """Reads YAML with Ansible's tags, such as ``!vault``, as plain values."""


def _plain(loader: _Loader, _suffix: str, node: yaml.Node) -> Any:
    makers = {yaml.MappingNode: loader.construct_mapping, yaml.SequenceNode: loader.construct_sequence}
    make = makers.get(type(node)) or loader.construct_scalar
    return make(node)


_Loader.add_multi_constructor("!", _plain)


def check(path: Path) -> None:
    """Refuse a YAML inventory that Ansible would read only in part; other formats are left to Ansible."""
    if not path.is_file() or path.suffix not in (".yml", ".yaml", ".json"):
        return
    try:
        groups = yaml.load(path.read_text("utf-8"), _Loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise OptionError(f"The inventory {path} cannot be read: {why}.", code="bad-inventory") from error
    if not isinstance(groups, dict):
        raise _wrong(path, "it has no groups of hosts")
    if "plugin" not in groups:  # one that asks a cloud for its machines
        for name, group in groups.items():
            _check_group(path, str(name), group)


def hosts(path: Path) -> dict[str, dict[str, Any]]:
    """Return the variables of each host of an inventory, as Ansible reads it."""
    with launch.private_folder() as private:
        ours = launch.environment(private, local=False)
        environment = {**launch.cleaned(os.environ, ours, local=False), **ours}
        argv = [launch.program("ansible-inventory"), "-i", str(path), "--list"]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["ansible-inventory failed"])[-1]
        raise OptionError(f"The inventory {path} cannot be read: {why}.", code="bad-inventory")
    found = json.loads(done.stdout)
    names = dict.fromkeys(name for group in found.values() for name in group.get("hosts", ()))
    variables = found["_meta"]["hostvars"]
    return {name: variables.get(name, {}) for name in names}


def _check_group(path: Path, name: str, group: Any) -> None:
    if group is None:
        return
    if not isinstance(group, dict):
        raise _wrong(path, f"the group {name!r} is not a mapping")
    for key, value in group.items():
        if key not in _GROUP:
            raise _wrong(path, f"the group {name!r} has an unknown key {key!r}", did_you_mean(str(key), _GROUP))
        if value is not None and not isinstance(value, dict):
            raise _wrong(path, f"{key!r} of the group {name!r} is not a mapping")
    for child, of_child in (group.get("children") or {}).items():
        _check_group(path, str(child), of_child)


def _wrong(path: Path, what: str, question: str = "") -> OptionError:
    hint = f"{question} A group has hosts, vars and children; see inventory/fleet.example.yml.".strip()
    return OptionError(f"The inventory {path} is invalid: {what}.", hint=hint, code="bad-inventory")
