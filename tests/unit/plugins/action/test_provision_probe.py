"""The probe's two sides: Ansible's here, and the checks on the machine."""

import functools
import json
import os
import shutil
import subprocess
import sys

import pytest

from provision.engine import content

ROOT = content.root()


@functools.cache
def of_probe(expression):
    """Return what an expression about Ansible's side is: who imports that has all that follows run as there."""
    program = f"import json; from plugins.action import provision_probe as probe; print({expression})"
    return subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True)


PROGRAM = (
    "probe._PROGRAM.format(sources=json.dumps(probe._sources({asked!r}, {roles!r})), mark='', roles={given!r}, "
    "asked={asked!r})"
)


@pytest.mark.parametrize(
    ("asked", "given", "answers"),
    [
        ("look", {}, {"machine", "roles"}),
        ("status", [], {"roles", "store"}),
        ("doctor", [], {"checks", "roles", "store"}),
    ],
)
def test_the_checks_run_alone_from_standard_input(asked, given, answers):
    source = of_probe(PROGRAM.format(asked=asked, roles=[], given=json.dumps(given)))
    done = subprocess.run(
        [sys.executable, "-IS", "-"], input=source, capture_output=True, text=True, check=False, env={}
    )
    found = json.loads(done.stdout or "{}")
    assert answers <= set(found), done.stderr
    assert "could not be checked" not in done.stdout
    assert found.get("machine", {}).get("arch", os.uname().machine) == os.uname().machine


@pytest.mark.parametrize("role", ["mrtrix3", "sshd", "fsl"])
def test_what_is_sent_is_all_that_the_check_of_a_role_imports_and_no_more(role):
    source = of_probe(PROGRAM.format(asked="look", roles=[role], given="{}"))
    source += (
        f"from provision_probe.look import look_of\nlook_of({role!r})\nprint(sorted(set(sources) - set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-IS", "-"], input=source, capture_output=True, text=True, check=False, env={}
    )
    assert done.stdout.splitlines()[1:] == ["[]"], done.stderr


def test_a_variable_is_looked_up_as_ansible_would_and_what_a_person_gives_is_never_a_template():
    # Trusted is what comes from the files of roles and plays.
    found = of_probe(
        "[(ours := __import__('ansible.template').template), (trusted := ours.trust_as_template), "
        "(given := {'text': '{{ secret }}', 'theirs': trusted('{{ secret }}'), 'secret': 'x', 'many': [1, 'a']}), "
        "(wanted := {'a': trusted('{{ text }}'), 'b': '{{ secret }}', 'c': trusted('{{ theirs }}'), "
        "'d': {'e': trusted('{{ many }}')}, 'f': trusted('{{ many[1] ~ secret }}')}), "
        "json.dumps(probe._filled(ours.Templar(variables=given), wanted, given))][-1]"
    )
    assert json.loads(found) == {"a": "{{ secret }}", "b": "{{ secret }}", "c": "x", "d": {"e": [1, "a"]}, "f": "ax"}


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ({"python3": "3.8", "python3.11": "3.11", "python3.9": "3.9"}, "python3.11"),
        ({"python3": "broken", "python3.9": "3.9"}, "python3.9"),
        ({"python3": "3.12", "python3.13": "3.13"}, "python3"),
        ({"python3": "3.6"}, ""),
        ({}, ""),
    ],
)
def test_the_first_python_that_is_new_enough_and_works_is_taken(tmp_path, there, taken):
    for name, version in there.items():
        works = version != "broken" and tuple(map(int, version.split("."))) >= (3, 9)
        # What it is asked for first is whether it works.
        text = f'#!/bin/sh\ncase "$1" in -c) exit {int(not works)} ;; esac\nexec cat\n'
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "cat").symlink_to(shutil.which("cat"))
    script = of_probe("probe._FIND.format(mark='found:')").replace("/usr/bin/python3 ", "/nonexistent/python3 ")
    done = subprocess.run(
        ["/bin/sh", "-c", script], input="program", capture_output=True, text=True, check=False,
        env={"PATH": str(tmp_path)},
    )  # fmt: skip
    if taken:
        assert (done.returncode, done.stdout) == (0, f"found:{tmp_path / taken}\nprogram")
    else:
        assert done.returncode == 127 and "3.9" in done.stderr
