"""The machines of a run: an inventory of Ansible's, or a list of hosts; and which of them are meant."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from provision import paths
from provision.engine import launch
from provision.errors import OptionError
from provision.words import choices, did_you_mean

# What a group of machines may have: Ansible's inventory plugin `yaml`.
_GROUP = ("hosts", "vars", "children")
# A host as people type it. Nothing in it can be an option of ssh, a template or a range of Ansible's.
_HOST = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][\w.+-]*)@)?(?:\[(?P<ipv6>[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\]|(?P<host>[A-Za-z0-9_](?:[\w.-]*\w)?))"
    r"(?::(?P<port>\d{1,5}))?",
    re.ASCII,
)
_ENDINGS = (".cfg", ".ini", ".json", ".toml", ".yaml", ".yml")  # of files; none is a domain
_ENCRYPTED = "$ANSIBLE_VAULT;"  # how a file begins that only Ansible, given the password, can read
_FORM = "Give hosts as USER@HOST:PORT, separated by commas, or the path of an Ansible inventory."


@dataclass(frozen=True)
class Inventory:
    """The machines of a run."""

    path: Path | None = None  # None for a list of hosts
    hosts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # their variables, by name
    only: tuple[str, ...] | None = None  # the names of those that are meant, None for all
    forks: int | None = None  # how many at once, None for as many as usual

    def __str__(self) -> str:
        names = list(self.hosts)
        more = f" and {len(names) - 3} more" if len(names) > 4 else ""
        return str(self.path) if self.path else ", ".join(names[:3] if more else names) + more

    @property
    def where(self) -> str:
        """The machines in words."""
        return f"the machines in {self}" if self.path else str(self)

    @property
    def key(self) -> str:
        """What tells it from others, whichever of its machines are meant."""
        return str(self.path) if self.path else json.dumps(self.hosts, sort_keys=True)

    def source(self, private: Path) -> str:
        """Return the path that Ansible reads it from, in the private folder of a run if it is a list."""
        if self.path:
            return str(self.path)
        file = private / "hosts.json"
        file.write_text(json.dumps({"all": {"hosts": self.hosts}}), encoding="utf-8")
        return str(file)

    def arguments(self, private: Path) -> list[str]:
        """Return the arguments with which ansible-playbook takes the machines that are meant."""
        found = [f"--forks={self.forks}"] if self.forks else []
        if self.only is not None:
            (private / "limit").write_text("\n".join(self.only), encoding="utf-8")
            found.append(f"--limit=@{private / 'limit'}")
        return found


def given(
    on: str | os.PathLike[str] | Sequence[str] | Inventory, limit: str | None = None, forks: int | None = None
) -> Inventory:
    """Return the machines that a person names: the path of an inventory, or hosts; refuse anything else."""
    if isinstance(on, Inventory):
        return on
    if forks is not None and (isinstance(forks, bool) or not isinstance(forks, int) or forks < 1):
        raise OptionError(f"forks={forks!r} is not a whole number above 0.", code="bad-value")
    found = replace(_named(on), forks=forks)
    return found if limit is None else replace(found, only=_matching(found, limit))


def _named(on: str | os.PathLike[str] | Sequence[str]) -> Inventory:
    if isinstance(on, list | tuple):
        return Inventory(hosts=_listed(on))
    if isinstance(on, str) and _looks_like_hosts(on):
        return Inventory(hosts=_listed(on.split(",")))
    path = paths.absolute(on)  # type: ignore[arg-type]
    if not path.exists():
        raise OptionError(f"There is no inventory {path}.", hint=_way_out(str(on)), code="no-file")
    paths.for_ansible(str(path))
    check(path)
    return Inventory(path)


def _looks_like_hosts(text: str) -> bool:
    """Return whether a text is no path: a file that exists, or seems to be meant, is never taken for a host."""
    with contextlib.suppress(OSError, RuntimeError):  # too long for a file's name, or "~somebody"
        if Path(text).expanduser().exists():
            return False
    is_file = os.sep in text or text.endswith(_ENDINGS)
    return "," in text or (not is_file and bool(re.search(r"@|:\d+$", text)))


def _way_out(text: str) -> str:
    is_host = _HOST.fullmatch(text) and not text.endswith(_ENDINGS)
    return f"If it is a host, add a comma: {text}," if is_host else "Give the path of an Ansible inventory, or hosts."


def _listed(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the variables of the hosts of a list, by name: the port is part of it only if a host is there twice."""
    found = [_host(text) for text in dict.fromkeys(map(_stripped, texts)) if text]
    if not found:
        raise OptionError("The list of hosts is empty.", hint=_FORM, code="no-hosts")
    addresses = [one["ansible_host"] for one in found]
    hosts: dict[str, dict[str, Any]] = {}
    for one in found:
        address = one["ansible_host"]
        name = address if addresses.count(address) == 1 else f"{address}-{one.get('ansible_port', 22)}"
        if name in hosts:
            message = f"The host {address} is in the list twice."
            raise OptionError(message, hint="Name each machine once: two runs on it would disturb each other.",
                              code="given-twice")  # fmt: skip
        hosts[name] = one
    return hosts


def _stripped(text: object) -> str:
    if not isinstance(text, str):
        raise OptionError(f"{text!r} is not the name of a host.", hint=_FORM, code="bad-inventory")
    return text.strip()


def _host(text: str) -> dict[str, Any]:
    found = _HOST.fullmatch(text)
    if not found or text.endswith(_ENDINGS) or not 0 < int(found["port"] or 22) < 65536:
        raise OptionError(f"{text!r} is not the name of a host.", hint=_FORM, code="bad-inventory")
    variables = {"ansible_host": found["host"] or found["ipv6"], "ansible_user": found["user"]}
    variables["ansible_port"] = int(found["port"]) if found["port"] else None
    return {name: value for name, value in variables.items() if value}


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
        text = path.read_text("utf-8")
        groups = {} if text.startswith(_ENCRYPTED) else yaml.load(text, _Loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise OptionError(f"The inventory {path} cannot be read: {why}.", code="bad-inventory") from error
    if not isinstance(groups, dict):
        raise _wrong(path, "it has no groups of hosts")
    if "plugin" not in groups:  # one that asks a cloud for its machines
        for name, group in groups.items():
            _check_group(path, str(name), group)


def hosts(inventory: Inventory) -> dict[str, dict[str, Any]]:
    """Return the variables of each host that is meant, as Ansible reads the inventory."""
    if not inventory.path and inventory.only is None:
        return {name: dict(variables) for name, variables in inventory.hosts.items()}
    found, _ = _read(inventory)
    return {name: one for name, one in found.items() if inventory.only is None or name in inventory.only}


def ssh_words(name: str, variables: Mapping[str, Any]) -> list[str]:
    """Return the arguments with which ssh reaches a host, given its variables; the last is its address.

    Refuse variables that ssh cannot take: templates, which only a run of Ansible's resolves, and quotes without an end.
    """
    flags = {"ansible_port": "-p", "ansible_user": "-l", "ansible_ssh_private_key_file": "-i"}
    flags |= {"ansible_ssh_port": "-p", "ansible_ssh_user": "-l", "ansible_private_key_file": "-i"}
    lists, addresses = ("ansible_ssh_common_args", "ansible_ssh_extra_args"), ("ansible_ssh_host", "ansible_host")
    said = {key: str(variables[key]) for key in (*flags, *lists, *addresses) if variables.get(key)}
    for key, text in said.items():
        if "{{" in text or "{%" in text:
            raise OptionError(f"{key} of {name} is a template.", hint="Write what it stands for.", code="bad-inventory")
    words = [word for key, flag in flags.items() if key in said for word in (flag, said[key])]
    for key in lists:
        try:
            words += shlex.split(said.get(key, ""))
        except ValueError as error:
            raise OptionError(f"{key} of {name} cannot be read: {error}.", code="bad-inventory") from error
    return [*words, said.get("ansible_host") or said.get("ansible_ssh_host") or name]


def _read(inventory: Inventory, *arguments: str) -> tuple[dict[str, dict[str, Any]], str]:
    """Have Ansible read an inventory; return the variables of each host, and the warnings."""
    with launch.private_folder() as private:
        ours = launch.environment(private, local=False)
        environment = {**launch.cleaned(os.environ, ours, local=False), **ours}
        argv = [launch.program("ansible-inventory"), "-i", inventory.source(private), "--list", *arguments]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["ansible-inventory failed"])[-1]
        raise OptionError(f"The inventory {inventory} cannot be read: {why}.", code="bad-inventory")
    found = json.loads(done.stdout)
    names = dict.fromkeys(name for group in found.values() for name in group.get("hosts", ()))
    variables = found["_meta"]["hostvars"]
    return {name: variables.get(name, {}) for name in names}, done.stderr


def _matching(inventory: Inventory, limit: str) -> tuple[str, ...]:
    """Return the names of the hosts that a pattern of Ansible's means; refuse it if a part of it means none."""
    found, warnings = _read(inventory, f"--limit={limit}")
    unknown = re.findall(r"Could not match supplied host pattern, ignoring:\s+(\S+)", warnings)
    if unknown or not found or not limit.strip():
        first = unknown[0] if unknown else limit
        hint = choices(first, hosts(inventory), "Hosts")
        raise OptionError(f"No host matches {first!r}.", hint=hint, code="no-hosts")
    return tuple(found)


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
