"""Which roles and options there are, and what is taken for a value."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.engine import catalog, content
from provision.errors import OptionError

from .any_input import ANY, TEXT, quickly

SPECS = {
    "zeta": "options: {}",
    "alpha": """
        options:
          alpha_token: {type: str, no_log: true}
          alpha_secrets: {type: list, elements: int, no_log: true}
          alpha_check: {type: bool}
          alpha_secret_choice: {type: str, choices: [a, b], no_log: true}
    """,
    "mrtrix3": """
        short_description: Install it
        description: [One., 'Two C(things).']
        options:
          mrtrix3_version: {type: str, default: "3.0.8", description: The version wanted.}
          mrtrix3_state: {type: str, default: present, choices: [present, absent]}
          mrtrix3_groups: {type: list, elements: str, choices: [run, build]}
          mrtrix3_words: {type: list, elements: str}
          mrtrix3_jobs: {type: int, default: 0, description: Processes at once.}
          mrtrix3_level: {type: int, choices: [1, 2]}
          mrtrix3_clean: {type: bool}
          mrtrix3_factor: {type: float}
          mrtrix3_folder: {type: path}
          mrtrix3_extra: {type: dict}
          provision_store: {type: path}
    """,
    "deps": "options: {deps_state: {type: str, required: true}, provision_store: {type: path}}",
}
ORDER = ["zeta", "deps", "mrtrix3", "alpha"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("content")
    for name, spec in SPECS.items():
        path = root / "roles" / name / "meta" / "argument_specs.yml"
        path.parent.mkdir(parents=True)
        main = textwrap.indent(textwrap.dedent(spec).strip(), " " * 4)
        path.write_text(f"argument_specs:\n  main:\n{main}\n", "utf-8")
    (root / "roles" / "without_specs").mkdir()
    (root / "playbooks/vars").mkdir(parents=True)
    known = {name: {} for name in ORDER}
    (root / "playbooks/vars/roles.yml").write_text(yaml.safe_dump({"provision_known_roles": known}, sort_keys=False))
    return root


@pytest.fixture
def specs(monkeypatch, written):
    """Have the roles of `SPECS` in the place of the project's."""
    monkeypatch.setattr(content, "root", lambda: written)


@pytest.fixture
def variables(specs):
    return lambda names, **options: catalog.variables(names, options)


@pytest.fixture
def refusal(variables):
    """Return the error for options that are refused."""

    def refusal(names, **options):
        with pytest.raises(OptionError) as caught:
            variables(names, **options)
        return caught.value

    return refusal


# Roles


def test_roles_come_in_the_order_in_which_they_build_on_each_other(specs):
    assert list(catalog.roles()) == ORDER


def test_a_changed_dictionary_of_roles_does_not_change_the_catalogue(specs):
    catalog.roles().clear()
    assert catalog.roles()


def test_a_role_tells_what_its_spec_says(specs):
    role = catalog.role("mrtrix3")
    assert (role.short_description, role.description) == ("Install it", "One.\nTwo C(things).")
    version, groups = role.options["mrtrix3_version"], role.options["mrtrix3_groups"]
    assert (version.short, version.type, version.default, version.choices) == ("version", "str", "3.0.8", ())
    assert (groups.choices, groups.elements, groups.kind) == (("run", "build"), "str", "a list of text")
    assert catalog.role("deps").options["deps_state"].required
    assert catalog.role("alpha").options["alpha_token"].secret


def test_an_unknown_role_names_the_nearest_and_all_there_are(specs):
    with pytest.raises(OptionError) as caught:
        catalog.role("mrtrix")
    assert caught.value.code == "no-role" and "'mrtrix'" in caught.value.message
    assert "'mrtrix3'" in caught.value.hint and "zeta, deps, mrtrix3, alpha" in caught.value.hint


@pytest.mark.parametrize("given", [["mrtrix3", "zeta"], ("mrtrix3", "zeta"), {"mrtrix3": 1}])
def test_a_list_in_place_of_a_role_is_refused_with_how_to_give_several(given):
    with pytest.raises(OptionError) as caught:
        catalog.role(given)
    assert caught.value.code == "no-role" and "'mrtrix3'" in caught.value.hint


def test_no_role_at_all_is_refused(refusal):
    error = refusal([])
    assert error.code == "usage" and "zeta, deps, mrtrix3, alpha" in error.hint


def test_every_role_of_this_project_can_be_read_and_described():
    for name, role in catalog.roles().items():
        assert role.short_description and role.description
        for option in role.options.values():
            assert option.description, f"{name}: {option.name} says nothing"
            assert "C(" not in catalog.plain(option.description)


def test_every_default_of_this_project_is_allowed():
    for name, role in catalog.roles().items():
        given = {option.name: option.default for option in role.options.values() if option.default is not None}
        assert catalog.variables([name], given) == given


# Names of options


def test_short_and_full_names_mean_the_same(variables):
    assert variables(["mrtrix3"], version="any") == variables(["mrtrix3"], mrtrix3_version="any")
    assert variables(["mrtrix3"], version="any") == {"mrtrix3_version": "any"}


@pytest.mark.parametrize("name", ["mrtrix3_version", "mrtrix3_folder", "alpha_check"])
def test_full_names_of_roles_that_are_not_run_are_refused(refusal, name):
    error, owner = refusal(["deps", "zeta"], **{name: "any"}), name.partition("_")[0]
    assert error.code == "no-effect" and name in error.message
    assert f" {owner} is not being run" in error.message and owner in error.hint


def test_an_option_that_only_other_roles_share_is_refused(refusal):
    error = refusal(["zeta"], provision_store="/data")
    assert error.code == "no-effect" and "mrtrix3" in error.message and "deps" in error.message


def test_a_short_name_that_looks_like_a_full_one_of_another_role_is_of_the_role_that_runs():
    assert catalog.variables(["mrpeek"], {"mrtrix3_repo": "/clone"}) == {"mrpeek_mrtrix3_repo": "/clone"}
    both = catalog.variables(["mrtrix3", "mrpeek"], {"mrtrix3_repo": "/a", "mrpeek_mrtrix3_repo": "/b"})
    assert both == {"mrtrix3_repo": "/a", "mrpeek_mrtrix3_repo": "/b"}


@pytest.mark.parametrize("names", [[name] for name in catalog.roles()] + [list(catalog.roles())], ids="-".join)
def test_every_usual_name_means_the_option_that_help_lists_it_for(names):
    usual = catalog.usual_names([catalog.role(name) for name in names])
    options = [option for name in names for option in catalog.role(name).options]
    assert {option.name for option in usual.values()} == set(options)
    for name, option in usual.items():
        value = option.choices[0] if option.choices else option.default
        if value is not None:
            assert list(catalog.variables(names, {name: value})) == [option.name]


def test_what_reaches_an_included_role_is_taken_where_it_is_included():
    taken = {"deps_lock_timeout": 9}
    for name in ("mrtrix3", "mrpeek", "sshd", "reverse_ssh"):
        assert catalog.variables([name], taken) == taken
        with pytest.raises(OptionError) as refused:
            catalog.variables([name], {"deps_groups": ["run"]})
        assert refused.value.code == "no-effect"
    with pytest.raises(OptionError) as refused:
        catalog.variables(["ngrok"], taken)
    assert refused.value.code == "no-effect"


def test_short_names_of_roles_that_were_not_named_are_not(refusal):
    error = refusal(["deps"], version="any")
    assert error.code == "no-option" and "version" in error.message and "deps" in error.message


def test_an_ambiguous_short_name_lists_the_full_ones(refusal):
    error = refusal(["deps", "mrtrix3"], state="present")
    assert error.code == "ambiguous" and "state" in error.message
    assert "deps_state" in error.hint and "mrtrix3_state" in error.hint


def test_an_option_that_roles_share_is_not_ambiguous(variables):
    assert variables(["deps", "mrtrix3"], store="/data") == {"provision_store": "/data"}


def test_an_option_given_by_both_its_names_is_refused(refusal):
    error = refusal(["mrtrix3"], version="1", mrtrix3_version="2")
    assert error.code == "given-twice" and "mrtrix3_version" in error.message


def test_an_unknown_option_names_the_nearest_and_all_that_are_allowed(refusal):
    error = refusal(["deps"], stor="x")
    assert error.code == "no-option" and "'stor'" in error.message and "deps" in error.message
    assert "'store'" in error.hint and "state, store." in error.hint
    assert "'mrtrix3_version'" in refusal(["mrtrix3"], mrtrix3_vresion="x").hint


def test_options_that_need_their_full_names_are_listed_by_them(refusal):
    allowed = refusal(["deps", "mrtrix3"], nothing="x").hint
    assert "deps_state" in allowed and "mrtrix3_state" in allowed and ", state," not in allowed


def test_errors_spell_names_as_the_caller_does(specs):
    with pytest.raises(OptionError) as caught:
        catalog.variables(["mrtrix3"], {"vresion": "1"}, spell=lambda name: f"--{name}")
    assert caught.value.code == "no-option"
    assert "--vresion" in caught.value.message and "'--version'" in caught.value.hint


def test_a_short_name_that_means_something_else_already_is_none(refusal, variables):
    assert variables(["alpha"], alpha_check=True) == {"alpha_check": True}
    error = refusal(["alpha"], check=True)
    assert error.code == "no-option" and "token, secrets, alpha_check, secret_choice" in error.hint


# Values


@pytest.mark.parametrize(
    ("option", "given", "taken"),
    [
        ("version", "3.0", "3.0"),
        ("folder", Path("a") / "b", "a/b"),
        ("folder", "~/b", "~/b"),
        ("jobs", "4", 4),
        ("jobs", 4.0, 4),
        ("clean", "yes", True),
        ("clean", 0, False),
        ("factor", "1.5", 1.5),
        ("factor", 2, 2.0),
        ("groups", "run, build", ["run", "build"]),
        ("groups", ("run",), ["run"]),
        ("groups", "[]", []),
        ("words", "a, b,,c", ["a", "b", "c"]),
        ("words", 'from="a,b" ssh-rsa AAAA me,i, ssh-rsa AAAA', ['from="a,b" ssh-rsa AAAA me,i', "ssh-rsa AAAA"]),
        ("words", "[mrinfo, dwi2fod]", ["mrinfo", "dwi2fod"]),
        ("words", '["dipy>=1.9,<2"]', ["dipy>=1.9,<2"]),
        ("extra", "a=1,b=2", {"a": "1", "b": "2"}),
        ("extra", {"a": 1}, {"a": 1}),
    ],
)
def test_values_become_what_the_role_expects(variables, option, given, taken):
    (value,) = variables(["mrtrix3"], **{option: given}).values()
    assert value == taken and type(value) is type(taken)


@pytest.mark.parametrize(
    ("option", "given", "hint"),
    [
        ("version", 3.1, '"3.1"'), ("version", True, "The version wanted."), ("version", b"3", "The version wanted."),
        ("version", None, ""), ("jobs", "many", "Processes at once."), ("jobs", 2.5, ""), ("jobs", True, ""),
        ("jobs", "Infinity", ""), ("clean", "perhaps", ""), ("factor", "much", ""), ("groups", 3, ""),
        ("groups", ["run", 3], ""), ("words", "[a", ""), ("words", "", ""), ("extra", "a", ""),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_refused_with_the_right_one(refusal, option, given, hint):
    error = refusal(["mrtrix3"], **{option: given})
    assert error.code == "bad-value" and error.message.startswith(f"{option} ")
    assert catalog.role("mrtrix3").options[f"mrtrix3_{option}"].kind in error.message
    assert f" {given!r}" in error.message and hint in error.hint


@pytest.mark.parametrize("given", ["\udce9", Path("\udce9"), ["run", "\udce9"]])
def test_a_value_that_is_not_utf_8_is_refused_since_ansible_would_wait_for_ever(refusal, given):
    option = "words" if isinstance(given, list) else "folder"
    assert refusal(["mrtrix3"], **{option: given}).code == "bad-value"


def test_a_wrong_choice_names_the_nearest_and_all_choices(refusal):
    error = refusal(["mrtrix3"], state="presnt")
    assert error.code == "bad-value" and "state" in error.message and "'presnt'" in error.message
    assert "'present'" in error.hint and "present, absent" in error.hint


def test_choices_are_checked_in_lists_and_after_conversion(refusal, variables):
    error = refusal(["mrtrix3"], groups="run,buidl")
    assert error.code == "bad-value" and "'buidl'" in error.message and "run,buidl" not in error.message
    assert variables(["mrtrix3"], level="2") == {"mrtrix3_level": 2}
    error = refusal(["mrtrix3"], level="3")
    assert error.code == "bad-value" and " 3" in error.message and "1, 2" in error.hint


@pytest.mark.parametrize(
    "given", [{"token": 271828}, {"secrets": ["271828x"]}, {"secrets": 271828}, {"secret_choice": "271828"}]
)
def test_the_value_of_a_secret_is_in_no_error(specs, given):
    with pytest.raises(OptionError) as caught:
        catalog.variables(["alpha"], given)
    error = caught.value
    assert error.code == "bad-value"
    assert "271828" not in f"{error} {error!r} {error.to_dict()} {error.__cause__!r} {error.__context__!r}"


# Cost


def test_the_catalogue_is_read_without_ansible_or_anything_heavy():
    code = """
        import sys
        import provision, provision.engine.catalog
        provision.engine.catalog.roles()
        print(*{"ansible", "ansible_runner", "rich", "numpy", "jinja2"} & {name.split(".")[0] for name in sys.modules})
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


OPTIONS = [option for role in catalog.roles().values() for option in role.options.values()]
TYPES = {"str": str, "path": str, "int": int, "float": (int, float), "bool": bool, "list": list, "dict": dict}
WORDS = st.sampled_from(
    ["yes", "no", "1", "0x10", "1e400", "nan", "[", "[a, b]", "a=b", "{", "~", "é", "\ud800", "\0", "9" * 5000]
)


@settings(quickly, max_examples=300)
@given(st.sampled_from(OPTIONS), ANY | WORDS | st.binary(max_size=8))
def test_any_value_of_an_option_is_taken_as_its_type_or_refused(option, value):
    try:
        found = catalog.variables([role_of(option)], {option.name: value})[option.name]
    except OptionError as error:
        assert error.message and option.name in error.message
        return
    assert isinstance(found, TYPES[option.type]) and isinstance(found, bool) == (option.type == "bool")
    assert not option.choices or all(one in option.choices for one in (found if option.type == "list" else [found]))
    assert not isinstance(found, float) or math.isfinite(found)


def role_of(option):
    return next(role.name for role in catalog.roles().values() if option.name in role.options)


@quickly
@given(st.dictionaries(TEXT, ANY, max_size=3), st.lists(TEXT, max_size=3))
def test_any_options_of_any_roles_are_taken_or_refused(options, roles):
    try:
        catalog.variables(roles, options)
    except OptionError as error:
        assert error.message
