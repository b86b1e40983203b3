"""What user-data promises: text that cloud-init and a shell read as it was meant, and no secret in it."""

import json
import subprocess
from unittest import mock

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from provision.cli import main as cli
from provision.cli import roles
from provision.engine import catalog
from provision.engine.catalog import Option, Role
from provision.errors import OptionError
from provision.fleet.cloud_init import SCRIPT, _flags, cloud_init

from ..engine.any_input import quickly

NAME = "mrtrix_provision-0.1.0-py3-none-any.whl"
FILE = {"wheel": f"https://example.org/{NAME}", "sha256": "0a" * 32}
HOSTILE = (
    "it's", '"', "two\nlines", "$(touch /tmp/x)", "`id`", "{{ 7 * 7 }}", "{% raw %}", "## template: jinja",
    "é \u2028 😀", "a,b", "[a", "- x: y", "", " ", "--help", "\\n", "\x85\x7f\t\r", "PYTHON", "'; exit 1; '", "%s",
    "!tag", "#",
)  # fmt: skip
TEXTS = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def refused(*names, **options):
    """Return the code with which user-data is refused."""
    with pytest.raises(OptionError) as raised:
        cloud_init(*names, **{**FILE, **options})
    assert "sesame" not in str(raised.value)
    return raised.value.code


def written(data):
    """Return the script as cloud-init writes it to the machine."""
    (file,) = yaml.safe_load(str(data))["write_files"]
    return file["content"]


def arguments(script):
    """Return what a shell makes of the words that the script passes to `provision run`."""
    head, _, _ = script.partition("\n# Above is")
    done = subprocess.run(["sh", "-c", f'{head}\nprintf "%s\\0" "$url" "$@"'], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


def understood(words):
    """Return what `provision run` makes of words: the roles, and the variables of the run."""
    arguments, rest = cli._parser("run", words).parse_known_args(["run", *words])
    return roles.asked(arguments, rest, roles.add_run_flags)


def test_user_data_writes_one_script_and_runs_it():
    data = cloud_init("deps", **FILE)
    text = str(data)
    assert text.startswith("#cloud-config\n") and not text.endswith("\n")
    read = yaml.safe_load(text)
    assert read["runcmd"] == [[SCRIPT]]
    assert read["write_files"] == [
        {"path": SCRIPT, "owner": "root:root", "permissions": "0755", "content": data.script}
    ]
    subprocess.run(["sh", "-n"], input=data.script, text=True, check=True)


def test_the_script_is_read_by_people_as_it_is():
    assert "\n    set -eu\n" in str(cloud_init("mrtrix3", version="any", **FILE))


@pytest.mark.parametrize("value", HOSTILE)
def test_what_a_person_gives_reaches_the_machine_as_it_is(value):
    given_ = {"mrtrix3_repo": value, "mrtrix3_commands": ["mrinfo", value]}
    script = written(cloud_init("mrtrix3", **given_, **FILE))
    assert script == cloud_init("mrtrix3", **given_, **FILE).script
    address, *words = arguments(script)
    assert address == FILE["wheel"] and words[0] == "mrtrix3"
    assert understood(words) == (["mrtrix3"], given_)


# A role with an option of each type.
MADE = Role("made", options={f"made_{kind}": Option(f"made_{kind}", kind, kind)
                             for kind in ("str", "path", "int", "float", "bool", "list", "dict")})  # fmt: skip
VALUES = {
    "made_str": TEXTS, "made_path": TEXTS, "made_int": st.integers(), "made_bool": st.booleans(),
    "made_float": st.floats(allow_nan=False), "made_list": st.lists(TEXTS), "made_dict": st.dictionaries(TEXTS, TEXTS),
}  # fmt: skip


@quickly
@given(st.fixed_dictionaries({}, optional=VALUES))
def test_options_of_all_types_are_those_that_the_machine_runs_with(options):
    with mock.patch.object(catalog, "roles", lambda: {"made": MADE}):
        data = cloud_init("made", **options, **FILE)
        assert written(data) == data.script
        assert understood(["made", *_flags(data.options)]) == (["made"], options)


@pytest.mark.parametrize(
    ("names", "options", "code"),
    [
        ((), {}, "usage"),
        (("mrtrix",), {}, "no-role"),
        (("mrtrix3",), {"vresion": "any"}, "no-option"),
        (("mrtrix3",), {"jobs": "many"}, "bad-value"),
        (("deps", "mrtrix3"), {"state": "present"}, "ambiguous"),
        (("mrtrix3",), {"repo": "nul\0"}, "bad-value"),
        (("mrtrix3",), {"repo": "half a pair \ud800"}, "bad-value"),
    ],
)
def test_what_the_machine_would_refuse_is_refused_here(names, options, code):
    assert refused(*names, **options) == code


@pytest.mark.parametrize(
    ("role", "options"),
    [
        ("ngrok", {"authtoken": "sesame"}),
        ("ngrok", {"ngrok_authtoken": ""}),
        ("mrtrix3", {"repo": "https://me:sesame@example.org/mrtrix3.git"}),
        ("mrtrix3", {"repo": "https://sesame@example.org/mrtrix3.git"}),
        ("mrtrix3", {"repo": "HTTPS://sesame@example.org/mrtrix3.git"}),
        ("mrtrix3", {"repo": "ssh://git:sesame@example.org/mrtrix3.git"}),
        ("sshd", {"authorized_keys": ["-----BEGIN OPENSSH PRIVATE KEY-----\nsesame"]}),
        ("deps", {"wheel": f"https://me:sesame@example.org/{NAME}"}),
    ],
)
def test_a_secret_is_refused_and_not_shown(role, options):
    assert refused(role, **options) == "secret"


def test_an_address_with_a_name_that_is_no_secret_is_taken():
    assert cloud_init("mrtrix3", repo="ssh://git@example.org/mrtrix3.git", **FILE)


@pytest.mark.parametrize(
    "wheel",
    [
        "", NAME, f"/srv/{NAME}", f"ftp://example.org/{NAME}", "https://example.org/", "https://example.org/other-1.whl",
        f"https://example.org/ {NAME}", f"https://example.org/é/{NAME}", f"https://example.org/{NAME}\n", f"https:///{NAME}",
        f"https://[x/{NAME}", "https://example.org/..%2Fmrtrix_provision-1.whl", "https://example.org/mrtrix_provision-1.zip",
    ],
)  # fmt: skip
def test_an_address_that_is_of_no_wheel_is_refused(wheel):
    assert refused("deps", wheel=wheel) == "bad-url"


@pytest.mark.parametrize(
    ("wheel", "name"),
    [
        (f"https://example.org/{NAME}?X-Amz-Expires=60#sha256", NAME),
        (f"file:///srv/it's/{NAME}", NAME),
        ("http://127.0.0.1:8000/mrtrix_provision-0.1.0.tar.gz", "mrtrix_provision-0.1.0.tar.gz"),
        (f"https://example.org/{NAME.replace('0-', '0%2Blab-')}", NAME.replace("0-", "0+lab-")),
    ],
)  # fmt: skip
def test_the_file_keeps_the_name_by_which_pip_knows_what_it_is(wheel, name):
    data = cloud_init("deps", **{**FILE, "wheel": wheel})
    assert arguments(data.script)[0] == wheel and f"file={name}\n" in data.script


@pytest.mark.parametrize("digest", ["", "0a", "g" * 64, "0a" * 33, f"sha256:{'0a' * 32}", f"{'0a' * 32}\n"])
def test_what_is_no_digest_is_refused(digest):
    assert refused("deps", sha256=digest) == "bad-value"


def test_json_has_the_text_and_what_was_asked_for():
    data = cloud_init("deps", "mrtrix3", "deps", version="any", **{**FILE, "sha256": "0A" * 32})
    told = json.loads(json.dumps(data.to_dict()))
    assert told.pop("user_data") == f"{data}\n" and told.pop("script") == data.script
    assert told == {"roles": ["deps", "mrtrix3"], "options": {"mrtrix3_version": "any"}, **FILE}
