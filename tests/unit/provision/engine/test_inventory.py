"""An inventory that Ansible would pass over in part, or whole, is refused before anything is done."""

import pytest

from provision.engine import inventory
from provision.errors import OptionError


@pytest.mark.parametrize(
    "text",
    [
        "all:\n  host:\n    a:\n",
        "all:\n  hosts:\n    a:\n  host:\n    b:\n",
        "all:\n  children:\n    lab:\n      host: {a: }\n",
        "all: [a, b]\n",
        "all: a\n",
        "all:\n  hosts: a\n",
        "all:\n  hosts: [a, b]\n",
        "- a\n- b\n",
        "a\n",
        "",
        "all: [1, 2\n",
        "all:\n\thosts:\n",
        "[" * 3000,
        "hosts:\n  a:\n",
    ],
)
def test_what_would_be_left_out_is_refused(tmp_path, text):
    path = tmp_path / "hosts.yml"
    path.write_text(text)
    with pytest.raises(OptionError) as raised:
        inventory.check(path)
    assert raised.value.code == "bad-inventory" and str(path) in raised.value.message


def test_what_is_not_text_is_refused(tmp_path):
    path = tmp_path / "hosts.yml"
    path.write_bytes(b"\xff\xfe\x00all")
    with pytest.raises(OptionError) as raised:
        inventory.check(path)
    assert raised.value.code == "bad-inventory"


@pytest.mark.parametrize(
    "text",
    [
        "all:\n  hosts:\n    a:\n",
        "all:\n  hosts:\n    a: {ansible_host: 10.0.0.1}\n  vars:\n    x: !vault |\n      $ANSIBLE_VAULT;1.1\n",
        "lab:\n  hosts:\n    a:\n  children:\n    other:\n      hosts: {b: }\nother:\n",
        "all:\n  vars:\n    x: !unsafe {a: b}\n  hosts: {a: }\n",
        "plugin: amazon.aws.aws_ec2\nregions: [eu-west-1]\n",
        "$ANSIBLE_VAULT;1.1;AES256\n3132\n",
    ],
)
def test_what_ansible_understands_is_left_alone(tmp_path, text):
    path = tmp_path / "hosts.yml"
    path.write_text(text)
    inventory.check(path)


def test_other_kinds_of_inventory_are_left_to_ansible(tmp_path):
    (tmp_path / "hosts").write_text("[lab]\nnode1\n")
    inventory.check(tmp_path / "hosts")
    inventory.check(tmp_path)


@pytest.mark.parametrize(
    ("on", "hosts"),
    [
        ("me@one,two", {"one": {"ansible_user": "me"}, "two": {}}),
        ("me@one", {"one": {"ansible_user": "me"}}),
        ("one,", {"one": {}}),
        ("one:2222", {"one": {"ansible_port": 2222}}),
        (["a.b@10.0.0.1", " two:22 "], {"10.0.0.1": {"ansible_user": "a.b"}, "two": {"ansible_port": 22}}),
        ("[::1]:2222,two", {"::1": {"ansible_port": 2222}, "two": {}}),
    ],
)
def test_hosts_are_named_in_a_list_or_with_commas(on, hosts):
    found = inventory.given(on)
    wanted = {name: {"ansible_host": name, **variables} for name, variables in hosts.items()}
    assert (found.path, inventory.hosts(found)) == (None, wanted)


def test_a_machine_behind_several_ports_is_several_machines_but_one_machine_is_not_two():
    assert list(inventory.given("one:2201,one:2202").hosts) == ["one-2201", "one-2202"]
    assert list(inventory.given("one,one").hosts) == ["one"]
    with pytest.raises(OptionError) as raised:
        inventory.given("me@one,you@one")
    assert raised.value.code == "given-twice"


@pytest.mark.parametrize(
    "on",
    [
        "-oProxyCommand=x,", ["-J"], "{{ x }},", "one two,", "one;ls,", "me@,", "@one", "one:0,", "one:70000,",
        ["a\nb"], "[a:b,", "web[1:3],", [3], "ü,", "a/b,c", "one,hosts.yml", "one,../x",
    ],
)  # fmt: skip
def test_what_is_no_host_is_refused(on):
    with pytest.raises(OptionError) as raised:
        inventory.given(on)
    assert raised.value.code == "bad-inventory" and raised.value.hint


@pytest.mark.parametrize("on", ["one", "hosts.yml", "me@hosts.ini", "./one", "lab/one", "me@lab/one", "~/hosts"])
def test_a_path_that_is_misspelt_does_not_become_a_host(tmp_path, monkeypatch, on):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError) as raised:
        inventory.given(on)
    assert raised.value.code == "no-file"
    assert raised.value.hint.endswith("one,") == (on == "one")


@pytest.mark.parametrize("name", ["one,two", "me@one", "one:22", "one"])
def test_a_file_that_exists_is_never_taken_for_hosts(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("[lab]\nnode1\n")
    assert inventory.given(name).path == tmp_path / name


def test_an_empty_list_is_refused():
    for on in ([], ",", [" "]):
        with pytest.raises(OptionError):
            inventory.given(on)


@pytest.mark.parametrize("forks", [0, -1, True, 2.5, "3"])
def test_the_number_of_machines_at_once_is_a_number(forks):
    with pytest.raises(OptionError) as raised:
        inventory.given("one,", forks=forks)
    assert raised.value.code == "bad-value"


@pytest.mark.parametrize(
    "variables",
    [
        {"ansible_host": "{{ inventory_hostname }}.example.org"},
        {"ansible_user": "{% if x %}me{% endif %}"},
        {"ansible_ssh_common_args": "-o 'ProxyJump"},
    ],
)
def test_variables_that_ssh_cannot_take_are_refused(variables):
    with pytest.raises(OptionError) as raised:
        inventory.ssh_words("one", variables)
    assert raised.value.code == "bad-inventory" and next(iter(variables)) in raised.value.message


def test_the_old_name_of_an_address_is_one_too():
    assert inventory.ssh_words("one", {"ansible_ssh_host": "10.0.0.1"}) == ["10.0.0.1"]
