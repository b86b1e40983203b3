"""What a person is asked before a tunnel is opened."""

from __future__ import annotations

import getpass
import io
import sys

import pytest
from colab import on_colab
from IPython.core.error import StdinNotImplementedError

from provision import OptionError, notebook
from provision.colab import consent
from provision.machine import notes
from provision.machine.look import connection, ngrok

TOKEN = "2abc_token_of_mine"


class Asked(list):
    """Takes the place of a prompt: notes the question and gives the answer."""

    answer: object = ""

    def __call__(self, question: str = "") -> str:
        self.append(question)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.fixture
def prompt(monkeypatch):
    """A person at a terminal who is asked for a secret."""
    asked = Asked()
    monkeypatch.setattr(consent.getpass, "getpass", asked)
    monkeypatch.setattr(consent, "_can_ask", lambda: True)
    return asked


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch):
    """A machine that is not Colab's, with no token of ngrok anywhere."""
    monkeypatch.delenv(consent.TOKEN_VARIABLE, raising=False)
    monkeypatch.setattr(connection, "on_colab", lambda: False)
    monkeypatch.setattr(ngrok, "has_token", lambda: False)


@pytest.fixture
def colab(monkeypatch):
    """The page of Google Colab, with none of its secrets, and a cell of a notebook in it."""
    monkeypatch.setattr(notebook, "in_notebook", lambda: True)
    monkeypatch.setattr(connection, "on_colab", lambda: True)
    with on_colab(monkeypatch) as page:
        yield page


def complete(roles="sshd ngrok", *, local=True, check=False, **variables):
    return consent.complete(roles.split(), variables, local=local, check=check)


def accepted(**variables):
    return complete(ngrok_accept_colab_policy=True, **variables)


def test_the_token_that_is_given_comes_first(prompt, monkeypatch):
    monkeypatch.setenv(consent.TOKEN_VARIABLE, "another")
    assert complete(ngrok_authtoken=TOKEN)["ngrok_authtoken"] == TOKEN
    assert not prompt


def test_then_the_one_of_the_environment(prompt, monkeypatch):
    monkeypatch.setenv(consent.TOKEN_VARIABLE, f" {TOKEN}\n")
    assert complete()["ngrok_authtoken"] == TOKEN
    assert not prompt


def test_then_the_secret_of_colab(prompt, colab):
    colab.secrets[consent.TOKEN_VARIABLE] = (TOKEN, True)
    assert accepted()["ngrok_authtoken"] == TOKEN
    assert not prompt


def test_then_the_one_that_the_agent_was_given_before(prompt, monkeypatch):
    monkeypatch.setattr(ngrok, "has_token", lambda: True)
    assert "ngrok_authtoken" not in complete()
    assert not prompt


def test_then_it_is_asked_for_without_being_shown(prompt):
    prompt.answer = f"{TOKEN} "
    assert complete()["ngrok_authtoken"] == TOKEN
    assert "https://dashboard.ngrok.com" in prompt[0]


def test_a_secret_that_the_notebook_may_not_read_is_told_of_before_the_prompt(prompt, colab, capsys):
    colab.secrets[consent.TOKEN_VARIABLE], prompt.answer = (f"{TOKEN}_kept", False), TOKEN
    assert accepted()["ngrok_authtoken"] == TOKEN
    assert "has no access to it" in capsys.readouterr().out


def test_secrets_that_take_too_long_leave_the_prompt(prompt, colab, capsys):
    colab.open, prompt.answer = False, TOKEN
    assert accepted()["ngrok_authtoken"] == TOKEN
    assert "could not be read (TimeoutException)" in capsys.readouterr().out


@pytest.fixture
def exclamation_mark(colab, monkeypatch):
    """A line that begins with ! in a cell of Colab: a process of its own, whose secrets have no kernel to ask."""
    monkeypatch.setattr(notebook, "in_notebook", lambda: False)
    colab.kernel = False
    return colab


def test_in_a_line_that_is_no_cell_it_is_told_where_a_secret_can_be_read_and_asked_for(
    prompt, exclamation_mark, capsys
):
    exclamation_mark.secrets[consent.TOKEN_VARIABLE], prompt.answer = ("kept", True), TOKEN
    assert accepted()["ngrok_authtoken"] == TOKEN
    assert "only by provision.run in a cell, not from a ! line" in capsys.readouterr().err
    assert exclamation_mark.asked == []


def test_in_a_line_that_is_no_cell_the_variable_and_the_kept_token_do_without_a_word(
    prompt, exclamation_mark, capsys, monkeypatch
):
    monkeypatch.setenv(consent.TOKEN_VARIABLE, TOKEN)
    assert accepted()["ngrok_authtoken"] == TOKEN
    monkeypatch.delenv(consent.TOKEN_VARIABLE)
    monkeypatch.setattr(ngrok, "has_token", lambda: True)
    assert "ngrok_authtoken" not in accepted()
    assert not prompt and "secret" not in capsys.readouterr().err


@pytest.mark.parametrize("answer", ["", EOFError(), StdinNotImplementedError()])
def test_without_a_token_nothing_is_started(prompt, answer):
    prompt.answer = answer
    with pytest.raises(OptionError) as raised:
        complete()
    assert raised.value.code == "no-token" and consent.TOKEN_VARIABLE in raised.value.hint


def test_where_nobody_can_be_asked_nobody_is(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(TOKEN))
    with pytest.raises(OptionError) as raised:
        complete()
    assert raised.value.code == "no-token"


@pytest.mark.parametrize("given", [{"check": True}, {"roles": "sshd mrtrix3"}, {"ngrok_state": "stopped"}])
def test_nobody_is_asked_where_no_tunnel_is_opened(prompt, colab, given):
    assert not {"ngrok_authtoken", "ngrok_accept_colab_policy"} & set(complete(**given))
    assert not prompt


def test_a_look_takes_the_token_that_is_there_and_says_whether_a_person_could_be_asked(prompt, monkeypatch):
    assert complete(check=True) == {"provision_can_ask": True}
    monkeypatch.setenv(consent.TOKEN_VARIABLE, TOKEN)
    monkeypatch.setattr(consent, "_can_ask", lambda: False)
    assert complete(check=True) == {"ngrok_authtoken": TOKEN}
    assert not prompt


@pytest.mark.parametrize("closed", [True, False])
def test_without_a_standard_input_nobody_can_be_asked(monkeypatch, closed):
    stdin = io.StringIO() if closed else None
    if stdin:
        stdin.close()
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(OptionError) as raised:
        complete()
    assert raised.value.code == "no-token"


def test_for_other_machines_nobody_is_asked(prompt):
    assert "ngrok_authtoken" not in complete(local=False)
    assert not prompt


def test_on_colab_it_says_what_the_terms_allow_and_what_is_permitted_instead(colab, capsys):
    assert accepted(ngrok_authtoken=TOKEN)["ngrok_accept_colab_policy"] is True
    said = capsys.readouterr().out
    for words in ("SSH", "compute units", "provision.peek", "terminal", "colab ssh"):
        assert words in said


@pytest.mark.parametrize(
    ("answer", "opened"),
    [("yes", True), (" YES ", True), ("y", False), ("", False), (StdinNotImplementedError(), False)],
)
def test_on_colab_only_a_typed_yes_opens_a_tunnel(colab, monkeypatch, answer, opened):
    asked = Asked()
    asked.answer = answer
    monkeypatch.setattr("builtins.input", asked)
    monkeypatch.setattr(consent, "_can_ask", lambda: True)
    if opened:
        assert complete("sshd reverse_ssh")["reverse_ssh_accept_colab_policy"] is True
    else:
        with pytest.raises(OptionError) as raised:
            complete("sshd reverse_ssh")
        assert raised.value.code == "declined"
    assert len(asked) == 1


def test_on_colab_nobody_is_taken_to_agree_who_cannot_be_asked(colab, monkeypatch):
    monkeypatch.setattr(consent, "_can_ask", lambda: False)
    with pytest.raises(OptionError) as raised:
        complete(ngrok_authtoken=TOKEN)
    assert raised.value.code == "declined" and "accept_colab_policy=True" in raised.value.hint


def test_elsewhere_there_are_no_terms_to_accept(capsys):
    assert "ngrok_accept_colab_policy" not in complete(ngrok_authtoken=TOKEN)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("in_notebook", "answer"), [(True, "sesame"), (False, "")])
def test_it_is_typed_unseen_at_a_terminal_or_in_a_cell(monkeypatch, in_notebook, answer):
    monkeypatch.setattr(notebook, "in_notebook", lambda: in_notebook)
    monkeypatch.setattr(sys, "stdin", open("/dev/null"))  # noqa: SIM115
    monkeypatch.setattr(getpass, "getpass", lambda question: "sesame")
    assert consent.typed_unseen("The password: ") == answer


LICENCE = {"fsl_licence": "non-commercial"}


@pytest.mark.parametrize(
    ("answer", "accepted"), [("yes", True), (" YES ", True), ("", False), ("y", False), (EOFError(), False)]
)
def test_a_licence_is_accepted_by_a_typed_yes_alone(prompt, monkeypatch, capsys, answer, accepted):
    asked = Asked()
    asked.answer = answer
    monkeypatch.setattr("builtins.input", asked)
    monkeypatch.setattr(notes, "read_state", lambda _: {})
    if accepted:
        assert complete("mrtrix3 fsl") == LICENCE
    else:
        with pytest.raises(OptionError) as caught:
            complete("mrtrix3 fsl")
        assert caught.value.code == "declined"
    assert len(asked) == 1 and "https://" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("noted", "options"),
    [
        (LICENCE["fsl_licence"], {}),
        ("", LICENCE),
        ("", {"fsl_state": "absent"}),
        ("", {"check": True}),
        ("", {"local": False}),
    ],
)
def test_nobody_is_asked_about_a_licence_that_is_accepted_or_not_needed(prompt, monkeypatch, noted, options):
    monkeypatch.setattr(notes, "read_state", lambda _: {"licence": noted})
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("asked"))
    complete("fsl", **options)
