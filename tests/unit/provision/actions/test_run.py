"""Running roles from Python, with a run of our own in Ansible's place."""

import pytest

import provision
from provision import notebook
from provision.engine import at_once, runner
from provision.errors import Declined, Interrupted


def test_a_run_in_a_notebook_ends_with_the_results_own_line(ran, shown):
    result = provision.run("mrtrix3")
    assert shown == [repr(result)]


def test_who_takes_the_steps_gets_no_display_besides(ran, shown):
    provision.run("mrtrix3", progress=print)
    assert shown == [] and ran["on_step"] is print


def test_outside_a_notebook_nobody_is_told_the_result_twice(ran, capsys):
    provision.run("mrtrix3")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("in_notebook", "kind"), [(True, Interrupted), (False, KeyboardInterrupt)])
def test_an_interrupt_says_how_to_go_on_in_a_notebook_and_is_itself_elsewhere(ran, monkeypatch, in_notebook, kind):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("provision.colab.consent.complete", interrupt)
    monkeypatch.setattr(notebook, "in_notebook", lambda: in_notebook)
    with pytest.raises(KeyboardInterrupt) as raised:
        provision.run("mrtrix3")
    assert type(raised.value) is kind


@pytest.fixture
def declined(monkeypatch):
    """Let nobody be there who gives what a tunnel needs."""

    def complete(*_, **__):
        raise Declined("There is no token.", hint="Get one.")

    monkeypatch.setattr("provision.colab.consent.complete", complete)


def test_what_is_optional_is_left_out_with_the_reason_where_nobody_gives_what_it_needs(ran, declined, capsys):
    result = provision.run("sshd", "ngrok", optional=True)
    assert (ran, result.changed, dict(result.hosts)) == ({}, 0, {})
    assert capsys.readouterr().err == "Skipped: There is no token. Get one.\n"
    assert (repr(result), result._repr_html_()) == ("nothing was done", "<div>nothing was done</div>")


def test_what_is_not_optional_is_an_error_then(ran, declined):
    with pytest.raises(Declined):
        provision.run("sshd", "ngrok")
    assert ran == {}


def test_a_wrong_option_is_an_error_in_what_is_optional_too(ran):
    with pytest.raises(provision.OptionError) as refused:
        provision.run("mrtrix3", versoin="3", optional=True)
    assert refused.value.code == "no-option" and "versoin" in refused.value.message


def test_nothing_is_started_for_a_wrong_option(ran, tmp_path):
    codes = []
    for options in ({"versoin": "3"}, {"jobs": "many"}, {"on": tmp_path / "none.yml"}):
        with pytest.raises(provision.OptionError) as refused:
            provision.run("mrtrix3", **options)
        codes.append(refused.value.code)
    assert codes == ["no-option", "bad-value", "no-file"] and ran == {}


@pytest.fixture
def nothing_due(monkeypatch):
    """Let this process see by itself that nothing is due."""
    hosts = {"localhost": {"mrtrix3": {"version": "3.0.3"}}}
    monkeypatch.setattr(at_once, "digest", lambda *_: "question")
    monkeypatch.setattr(at_once, "outcome", lambda question: runner.Outcome(0, 0.0, hosts, None))
    kept = []
    monkeypatch.setattr(at_once, "keep", lambda *what: kept.append(what))
    monkeypatch.setattr(at_once, "forget", lambda: kept.append("forgotten"))
    return kept


@pytest.mark.parametrize("check", [False, True])
def test_where_nothing_is_due_ansible_is_not_started(ran, nothing_due, check):
    result = provision.run("mrtrix3", check=check)
    assert (ran, result.changed, result.mrtrix3.version, nothing_due) == ({}, 0, "3.0.3", [])


@pytest.mark.parametrize("how", [{"force": True}, {"verbose": True}])
def test_who_wants_ansible_to_run_gets_that(ran, nothing_due, how):
    assert provision.run("mrtrix3", **how).mrtrix3.version == "3.0.8"
    assert ran and nothing_due == [("question", {})]


def test_other_machines_are_looked_at_by_ansible_alone(ran, nothing_due, tmp_path):
    (tmp_path / "hosts.yml").write_text("all: {hosts: {node1: }}")
    provision.run("mrtrix3", on=tmp_path / "hosts.yml")
    assert ran and nothing_due == [("", {})]


def test_what_was_only_checked_is_not_kept_and_a_removal_forgets_all(ran, nothing_due, monkeypatch):
    monkeypatch.setattr(at_once, "outcome", lambda question: None)
    provision.run("mrtrix3", check=True)
    provision.remove("mrtrix3", check=True)
    assert nothing_due == []
    provision.remove("mrtrix3")
    assert nothing_due == ["forgotten"]
