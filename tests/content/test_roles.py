"""What every role keeps to; the roles and their options are found, not listed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import pytest
import yaml

from provision.display.tasks import under_way

ROOT = Path(__file__).resolve().parents[2]
# What begins with _ is for other roles to include.
ROLES = sorted((ROOT / "roles").glob("[!_]*"))

# What a task does is behind none of these keys.
BLOCKS = ("block", "rescue", "always")
# Facts that Ansible would put among the variables: `ansible_distribution` instead of `ansible_facts.distribution`.
INJECTED_FACT = re.compile(
    r"\bansible_(distribution\w*|os_family|system|kernel|architecture|processor\w*|memtotal_mb|hostname|fqdn|nodename"
    r"|user_id|user_dir|env|python|pkg_mgr|service_mgr|virtualization\w*|default_ipv4|mounts|date_time|lsb)\b"
)

each_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
each_folder = pytest.mark.parametrize("role", [*ROLES, ROOT / "roles/_tool"], ids=lambda role: role.name)


class Loader(yaml.SafeLoader):
    """Reads Ansible's own tags as what they hold."""


Loader.add_multi_constructor("!", lambda loader, _, node: loader.construct_scalar(node))


def load(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader) or {}


def texts(role: Path) -> dict[Path, str]:
    """The files of a role that Ansible evaluates."""
    folders = ("tasks", "handlers", "vars", "templates", "defaults")
    return {
        path: path.read_text(encoding="utf-8")
        for folder in folders
        for path in sorted((role / folder).rglob("*"))
        if path.is_file()
    }


def uncommented(text: str) -> str:
    return re.sub(r"(^|\s)#.*", r"\1", text)


def options(role: Path) -> dict[str, dict[str, Any]]:
    return load(role / "meta/argument_specs.yml")["argument_specs"]["main"].get("options", {})


def flatten(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tasks and blocks, with those inside of blocks."""
    found = []
    for task in tasks:
        found.append(task)
        for key in BLOCKS:
            found += flatten(task.get(key) or [])
    return found


def tasks(role: Path) -> list[tuple[Path, dict[str, Any]]]:
    paths = [*sorted((role / "tasks").rglob("*.yml")), *sorted((role / "handlers").rglob("*.yml"))]
    return [(path, task) for path in paths for task in flatten(load(path) or [])]


@each_role
@pytest.mark.parametrize(
    "name", ["README.md", "defaults/main.yml", "meta/main.yml", "meta/argument_specs.yml", "tasks/main.yml"]
)
def test_role_is_complete(role: Path, name: str) -> None:
    assert (role / name).is_file()


@each_role
def test_defaults_are_those_of_the_specification(role: Path) -> None:
    specified = {
        name: option.get("default")
        for name, option in options(role).items()
        if "default" in option or not option.get("required")
    }
    assert load(role / "defaults/main.yml") == specified


@each_role
def test_no_option_is_required_because_to_be_removed_a_role_needs_none(role: Path) -> None:
    assert [name for name, option in options(role).items() if option.get("required")] == []


@each_role
def test_every_option_is_described(role: Path) -> None:
    specification = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]
    assert specification["short_description"]
    for name, option in options(role).items():
        wanted = {"type", "description"} | ({"elements"} if option.get("type") == "list" else set())
        assert wanted - option.keys() == set(), name


@each_role
def test_options_carry_the_name_of_the_role(role: Path) -> None:
    shared = "provision_"  # what several roles use, such as the store
    assert [name for name in options(role) if not name.startswith((f"{role.name}_", shared))] == []


@each_folder
def test_internals_carry_the_name_of_the_role(role: Path) -> None:
    made = [name for path in (role / "vars").rglob("*.yml") for name in load(path)]
    for _, task in tasks(role):
        facts = task.get("ansible.builtin.set_fact") or {}
        made += [name for name in facts if name != "cacheable"]
        made += [name for name in (task.get("register"), (task.get("loop_control") or {}).get("loop_var")) if name]
        if not {"ansible.builtin.include_role", "ansible.builtin.import_role"} & task.keys():
            made += task.get("vars") or {}
    allowed = (f"__{role.name}_", f"{role.name}_", "provision_", "ansible_") if role in ROLES else ("_tool_",)
    assert [name for name in made if not name.startswith(allowed)] == []


@each_role
def test_every_option_is_used(role: Path) -> None:
    used = "\n".join(uncommented(text) for path, text in texts(role).items() if path.parent.name != "defaults")
    assert [name for name in options(role) if not re.search(rf"\b{name}\b", used)] == []


@each_folder
def test_every_internal_is_used(role: Path) -> None:
    playbooks = [path.read_text(encoding="utf-8") for path in (ROOT / "playbooks").glob("*.yml")]
    used = "\n".join(uncommented(text) for text in [*texts(role).values(), *playbooks])
    internals = {name for path in (role / "vars").rglob("*.yml") for name in load(path)}
    # Its definition is one mention.
    assert [name for name in sorted(internals) if len(re.findall(rf"\b{name}\b", used)) < 2] == []


@each_folder
def test_every_task_has_a_name(role: Path) -> None:
    assert [(path.name, task) for path, task in tasks(role) if not task.get("name")] == []


@each_folder
def test_the_name_of_a_task_begins_with_a_verb_that_the_progress_display_knows(role: Path) -> None:
    assert [name for _, task in tasks(role) if under_way(name := task["name"]) == name] == []


@each_folder
def test_facts_are_read_from_ansible_facts(role: Path) -> None:
    found = {(path.name, match[0]) for path, text in texts(role).items() for match in INJECTED_FACT.finditer(text)}
    assert found == set()


@each_folder
def test_included_files_are_there_and_all_files_are_included(role: Path) -> None:
    reached = set(load(role / "meta/argument_specs.yml")["argument_specs"]) | from_elsewhere(role)
    there = {path.stem for path in (role / "tasks").glob("*.yml")}
    for path, task in tasks(role):
        for name in included(task):
            patterns = [re.compile(pattern) for pattern in stems(role, name)]
            for pattern in patterns:
                assert any(map(pattern.fullmatch, there)), f"{path.name}: {name} may be {pattern.pattern}.yml"
            reached |= {stem for stem in there if any(pattern.fullmatch(stem) for pattern in patterns)}
    assert there - reached == set()


def from_elsewhere(role: Path) -> set[str]:
    """The task files of a role that another role includes by their names."""
    taken = [task.get("ansible.builtin.include_role", {}) for other in ROLES for _, task in tasks(other)]
    found = {arguments.get("tasks_from") for arguments in taken if arguments.get("name") == role.name}
    return found | {"build"} if is_tool(role) else found


def included(task: dict[str, Any]) -> list[str]:
    """The task file that a task includes, if any."""
    arguments = [task.get(f"ansible.builtin.{key}") for key in ("include_tasks", "import_tasks")]
    return [argument["file"] if isinstance(argument, dict) else argument for argument in arguments if argument]


def stems(role: Path, name: str) -> list[str]:
    """Patterns for what the name of a task file may become, without its suffix.

    An expression gives the words quoted in it and the choices of the options in it. When it has an internal variable
    or a loop's, it may give anything.
    """
    before, expression, after = re.fullmatch(r"(.*?)(?:\{\{(.*)\}\})?([^{}]*)\.yml", name, re.S).groups()
    if not expression:
        return [re.escape(before + after)]
    words = re.findall(r"'([\w-]+)'", expression)
    plain = re.sub(r"'[^']*'", "", expression).replace(f"__{role.name}_look.wanted.state", f"{role.name}_state")
    variables = set(re.findall(r"\w+", plain))
    if any(variable == "item" or variable.startswith("_") for variable in variables):
        return [f"{re.escape(before)}[\\w-]+{re.escape(after)}"]
    words += [choice for variable in variables for choice in options(role).get(variable, {}).get("choices", [])]
    return [re.escape(before + word + after) for word in words]


@each_role
def test_templates_are_valid_and_use_variables_of_the_role(role: Path) -> None:
    known = set(options(role)) | {name for path in (role / "vars").rglob("*.yml") for name in load(path)}
    allowed = re.compile(rf"__{role.name}_|provision_|ansible_|inventory_hostname|item\b|lookup\b|omit\b")
    # Ansible adds filters and tests; which ones there are matters only when the template is rendered.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    for path in sorted((role / "templates").rglob("*")):
        if path.is_file():
            free = jinja2.meta.find_undeclared_variables(environment.parse(path.read_text(encoding="utf-8")))
            assert {name for name in free - known if not allowed.match(name)} == set(), path.name


@each_role
def test_the_probe_notices_another_version_of_the_templates(role: Path) -> None:
    templates = sorted((role / "templates").rglob("*"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in templates if path.is_file())).hexdigest()[:12]
    wanted = load(role / "vars/main.yml")[f"__{role.name}_wanted"]
    assert not templates or wanted.get("form") == digest, f"say in __{role.name}_wanted: form: {digest}"


@each_role
def test_role_has_a_playbook_of_its_own(role: Path) -> None:
    assert (ROOT / "playbooks" / f"{role.name}.yml").is_file()


def test_every_role_is_on_the_list_of_roles_and_nothing_else_is() -> None:
    known = load(ROOT / "playbooks/vars/roles.yml")["provision_known_roles"]
    assert sorted(known) == [role.name for role in ROLES]
    assert [name for name, about in known.items() if about.get("usual")] == ["deps", "mrtrix3", "mrpeek"]
    assert {about.get("lets_in", "") for about in known.values()} <= {"", "server", "tunnel"}


@pytest.mark.parametrize(("entry", "sign"), [("store", "provision_store"), ("conda", "  conda:")])
def test_the_options_of_several_roles_are_those_of_the_roles_that_read_them(entry: str, sign: str) -> None:
    known = load(ROOT / "playbooks/vars/roles.yml")["provision_known_roles"]
    takes = [role.name for role in ROLES if sign in (role / "vars/main.yml").read_text("utf-8")]
    assert sorted(name for name, about in known.items() if entry in about.get("shares", ())) == takes


def test_the_defaults_of_the_options_of_several_roles_are_those_of_their_specs() -> None:
    specs = load(ROOT / "roles/_tool/meta/argument_specs.yml")["argument_specs"]
    shared = {**specs["store"]["options"], **specs["conda"]["options"]}
    defaults = load(ROOT / "roles/_tool/defaults/main.yml")
    assert {name: option["default"] for name, option in shared.items()} == defaults


def test_roles_are_removed_whatever_their_options_are() -> None:
    wrong = {name: "wrong" for role in ROLES for name in options(role) if name != f"{role.name}_state"}
    play = [sys.executable, "-m", "ansible", "playbook", "playbooks/remove.yml", "--check", "-i", "localhost,",
            "-c", "local", "-e", json.dumps({**wrong, "ansible_python_interpreter": sys.executable})]  # fmt: skip
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(play, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    reported = {name for name in re.findall(r"TASK \[(\w+) : Report the result\]", done.stdout) if name != "_tool"}
    assert reported == {role.name for role in ROLES if not is_tool(role)}
    assert done.stdout.count("TASK [_tool : Report the result]") == sum(map(is_tool, ROLES))


def is_tool(role: Path) -> bool:
    """Whether a role describes a tool as data, and leaves the work to the role `_tool`."""
    return "name: _tool\n" in (role / "tasks/main.yml").read_text("utf-8")


def test_the_role_that_others_include_refuses_to_be_called_alone(tmp_path: Path) -> None:
    play = [{"hosts": "localhost", "gather_facts": False, "roles": ["_tool"]}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play), "utf-8")
    words = ["playbook", str(tmp_path / "play.yml"), "-i", "localhost,", "-c", "local"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [sys.executable, "-m", "ansible", *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and "_tool_wanted" in done.stdout and "changed=0" in done.stdout


@pytest.mark.parametrize("name", ["nope", "../roles/deps", "{folder}/mine"])
def test_what_is_no_role_of_this_project_is_refused_and_nothing_of_it_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine/vars").mkdir(parents=True)
    hostile = f"{{{{ lookup('pipe', 'touch {tmp_path}/ran') }}}}"
    (tmp_path / "mine/vars/main.yml").write_text(yaml.safe_dump({f"__{tmp_path}/mine_wanted": hostile}), "utf-8")
    given = {"provision_roles": [name.format(folder=tmp_path)], "ansible_python_interpreter": sys.executable}
    words = ["playbook", "playbooks/site.yml", "--check", "-i", "localhost,", "-c", "local", "-e", json.dumps(given)]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [sys.executable, "-m", "ansible", *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and "code: usage" in done.stdout
    assert not (tmp_path / "ran").exists()
