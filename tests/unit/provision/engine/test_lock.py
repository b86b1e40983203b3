"""One run at a time, as far as no other process is needed to see it: tests/integration/test_lock.py has real ones."""

import stat

import pytest

import provision
from provision.actions import remove
from provision.engine import catalog, lock, runner
from provision.errors import OptionError


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("wait", [-1, "3", True, float("nan"), None])
def test_only_a_number_of_seconds_says_how_long_to_wait(wait):
    for call in (lambda **given: provision.run("deps", **given), provision.stop, provision.remove):
        with pytest.raises(OptionError) as refused:
            call(wait=wait)
        assert refused.value.code == "bad-value" and f"wait={wait!r}" in refused.value.message


def test_the_words_are_not_options_of_roles():
    for role in catalog.roles().values():
        assert not {"wait", "no_wait"} & {option.short for option in role.options.values()}


def test_what_is_to_be_stopped_or_removed_is_looked_for_once_nothing_else_changes_it(monkeypatch, tmp_path):
    seen = []

    def looked(answer):
        seen.append(lock.held_here())
        return answer

    started = {"hosts": {"localhost": {"sshd": {"state": "started"}, "ngrok": {"state": "started"}}}}
    monkeypatch.setattr("provision.actions.stop.status", lambda: looked(started))
    monkeypatch.setattr(remove, "gone", lambda hosts, roles: looked([]))
    monkeypatch.setattr(remove, "kept", lambda: looked([]))
    monkeypatch.setattr(runner, "run", lambda *_, **__: looked(runner.Outcome(0, 0.1, {}, tmp_path / "log")))
    provision.stop()
    provision.remove()
    assert seen == [True] * 6 and not lock.held_here() and lock.holder() is None


def test_it_is_free_again_after_an_error_and_nothing_is_left(lock_place):
    with pytest.raises(ZeroDivisionError), lock.held("provision run deps"):
        assert mode_of(lock_place) == 0o700 and mode_of(lock_place / "held") == 0o600
        raise ZeroDivisionError
    assert list(lock_place.iterdir()) == [] and lock.holder() is None


def test_a_note_does_not_steer_the_terminal(lock_place):
    with lock.held("provision run \x1b[31m\n"):
        assert lock.holder()["command"] == "provision run  [31m "
