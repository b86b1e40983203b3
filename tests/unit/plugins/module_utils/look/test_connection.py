"""How an SSH server is reached and known."""

from __future__ import annotations

import glob
import shlex
import socket
import subprocess
import time

import pytest

from plugins.module_utils.provision import system
from plugins.module_utils.provision.look import connection as look


@pytest.fixture
def elsewhere(monkeypatch):
    """A machine that is not Colab's, whatever the tests run on."""
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    monkeypatch.setattr(glob, "glob", lambda pattern: [])


def test_elsewhere_than_on_colab_nothing_is_asked(elsewhere):
    assert look.colab_policy_problem(False) == []


def test_on_colab_it_is_said_what_the_terms_allow_until_the_user_has_accepted_them(elsewhere, monkeypatch):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab_20260909")
    problem, hint, code = look.colab_policy_problem(False, "ngrok_accept_colab_policy")
    assert code == "declined" and "Colab" in problem
    assert "colab ssh" in hint and "provision.peek" in hint and "ngrok_accept_colab_policy=true" in hint
    assert look.colab_policy_problem(True) == []


def test_colab_is_known_in_a_login_that_has_not_the_environment_of_its_notebook(elsewhere, monkeypatch):
    monkeypatch.setattr(glob, "glob", lambda pattern: ["/usr/local/lib/python3.13/dist-packages/google/colab"])
    assert system.on_colab()


def test_an_address_that_never_answers_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        assert look.offered_key("127.0.0.1", silent.getsockname()[1], seconds=1) == ""
    assert time.monotonic() - begin < 5  # as long as those wait who do not say


@pytest.mark.needs("ssh")
@pytest.mark.parametrize("user", ["ada", "jane@corp.example", "CORP\\jane", "jane doe", "a#b"])
def test_a_person_can_copy_what_is_said_whatever_the_user_is_called(tmp_path, user):
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
    found = look.way_in(user, "127.0.0.1", 2222, key)
    (tmp_path / "config").write_text(found["config"])
    # What ssh makes of both, which does not connect for that.
    for given in (["-F", tmp_path / "config", "provision"], ["-F", "none", *shlex.split(found["command"])[1:]]):
        said = subprocess.run(["ssh", "-G", *given], capture_output=True, text=True, check=True).stdout.splitlines()
        assert f"user {user}" in said and "port 2222" in said and "hostname 127.0.0.1" in said
