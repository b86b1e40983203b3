"""What installing `provision` adds to Google Colab's image, so that nobody makes it heavy unnoticed.

tests/colab/image.json says what the image has; tests/colab/image.py says how to renew it.
"""

from __future__ import annotations

import re

import pytest
from colab import image
from packaging.utils import canonicalize_name

LISTS = {f"Python {one['python']} of {one['date']}": one for one in image.lists()}
# What pip installs there for the base package.
BASE = {"ansible-core", "ansible-runner", "argcomplete", "lockfile", "pyngrok", "python-daemon", "resolvelib"}
# What apt installs there for each group of packages, by the system.
APT = {
    "ubuntu-22.04": {
        "run": {"libfftw3-double3"},
        "build": {"libeigen3-dev", "libfftw3-dev", "python3-zstandard"},
        "cmake": {"ninja-build", "pkg-config"},
        "pictures": {"libsixel1"},
        "glyphs": set(),
        "package": {"mrtrix3"},
    }
}


@pytest.fixture(params=LISTS)
def there(request) -> dict:
    """What one of Colab's runtimes has of our packages."""
    return LISTS[request.param]


def test_the_base_package_adds_these_to_colab_and_nothing_else(there):
    asked = image.with_what_they_ask_for(image.requirements(), there["pip"])
    assert set(asked) - set(there["pip"]) == BASE


def test_pictures_add_two_more(there):
    asked = {canonicalize_name(requirement.name) for requirement in image.requirements("view")}
    assert asked - set(there["pip"]) == {"ipyniivue", "vtk"}


def test_sample_data_add_dipy_with_what_it_asks_for(there):
    asked = image.with_what_they_ask_for(image.requirements("demo"), there["pip"])
    assert set(asked) - set(there["pip"]) == {"cachebox", "deepdiff", "dipy", "orderly-set", "trx-python"}


def test_what_colab_has_already_is_left_as_it_is(there):
    """Another version of what the kernel has imported takes effect with a restart only, which loses the session."""
    wanted = [*image.requirements(), *image.requirements("view"), *image.requirements("demo")]
    replaced = [
        f"{requirement}, where {there['pip'][name]} is"
        for name, requirements in image.with_what_they_ask_for(wanted, there["pip"]).items()
        for requirement in requirements
        if name in there["pip"] and not requirement.specifier.contains(there["pip"][name])
    ]
    assert replaced == []


def test_apt_adds_these_to_colab_and_nothing_else(there):
    release = re.sub(r"(\w+) (\d+\.\d+).*", r"\1-\2", there["system"].lower())
    added = {group: set(names) - set(there["apt"]) for group, names in image.groups()[release].items()}
    assert added == APT[release]


def test_an_ssh_server_is_there(there):
    assert "openssh-server" in there["apt"]
