"""The codes of errors: programs rely on them, so all are listed where people look."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from plugins.module_utils.provision import ngrok_errors
from plugins.modules import reverse_ssh_tunnel, sshd_login
from provision import errors
from provision.engine import content, events
from provision.machine import apt, failures

PAGE = content.root() / "docs" / "troubleshooting.md"


def of_a_look(path: Path) -> set[str]:
    """Return the codes of what a look refuses: the last of three texts, of which the first is a sentence."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.List([ast.JoinedStr() | ast.Constant() | ast.Name(), _, ast.Constant(str(code))]) | ast.Call(
                ast.Name("Wrong"), [_, _, ast.Constant(str(code))]
            ):
                found |= set(re.findall(r"^[a-z]+(?:-[a-z]+)*$", code))
    return found


def in_the_code() -> set[str]:
    """Return every code that an error is given."""
    found = {error.code for error in (errors.ProvisionError, errors.OptionError, errors.Declined)}
    found |= {row[-1] for row in (*reverse_ssh_tunnel._KNOWN, *sshd_login._KNOWN)} | {"gateway-failed"}
    found |= {ngrok_errors.explain(said, "")[-1] for said in ("", "x509:", "i/o timeout")}
    found |= set(failures.CODES.values())
    found |= {row[-1] for row in (*events._KNOWN, *events._SSH, *apt._KNOWN)}
    for folder in ("provision", "plugins"):
        for path in (content.root() / folder).rglob("*.py"):
            # Not what nibabel calls by that name.
            found |= set(re.findall(r"(?<!affine, )\bcode ?= ?\"([a-z0-9-]+)\"", path.read_text()))
            found |= set(re.findall(r"\"code\": \{.*\"default\": \"([a-z-]+)\"", path.read_text()))
    for path in (content.root() / "plugins/module_utils/provision/look").glob("*.py"):
        found |= of_a_look(path)
    for path in (content.root() / "roles").rglob("*.yml"):
        for code in re.findall(r"^ +code: (.*)$", path.read_text(), re.M):
            found |= set(re.findall(r"(?<!default\()'([a-z-]+)'", code) if "{{" in code else [code])
    returned = (content.root() / "provision" / "engine" / "events.py").read_text()
    return found | set(re.findall(r'", "([a-z]+(?:-[a-z]+)*)"\n', returned))


def test_every_code_of_an_error_is_listed_in_the_documentation_and_no_other() -> None:
    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE.read_text().partition("## For programs")[2], re.M)
    assert len(listed) == len(set(listed))
    assert in_the_code() - set(listed) == set()
    assert set(listed) - in_the_code() == set()
