"""Running roles from Python, with a run of our own in Ansible's place."""

import pytest

import provision
from provision import notebook
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
