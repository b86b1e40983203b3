"""The package's public names."""

import pytest

import provision


def test_public_names_are_those_that_the_package_lists():
    for name in provision.__all__:
        assert getattr(provision, name).__doc__
    with pytest.raises(AttributeError, match="'rum'"):
        _ = provision.rum
