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
