"""What an error tells."""

import copyreg
import pickle
from pathlib import Path

import pytest

from provision.errors import Interrupted, OptionError, ProvisionError


def test_an_error_reads_as_its_sentence_and_what_to_do():
    assert str(ProvisionError("It broke.", hint="Mend it.")) == "It broke. Mend it."
    assert str(ProvisionError("It broke.")) == "It broke."


def test_an_error_as_json_tells_where_it_happened_and_where_the_log_is():
    error = ProvisionError("It broke.", hint="Mend it.", role="deps", task="Install", host="node1", log=Path("a.log"))
    where = {"role": "deps", "task": "Install", "host": "node1"}
    told = {"code": "failed", **where, "message": "It broke.", "hint": "Mend it."}
    assert error.to_dict() == {"error": {**told, "log": "a.log"}}


def test_an_error_of_a_run_that_never_started_has_no_log():
    assert OptionError("No.").to_dict()["error"]["log"] is None


def test_a_wrong_option_is_a_value_error_and_a_provision_error():
    with pytest.raises(ValueError):
        raise OptionError("No.")
    assert issubclass(OptionError, ProvisionError)


def test_an_error_as_lines_tells_what_to_do_where_it_happened_what_was_said_last_and_where_the_log_is():
    where = {"role": "deps", "task": "Install", "host": "node1"}
    error = ProvisionError("It broke.", hint="Mend it.", **where, log=Path("a.log"), said=["one", "two"])
    assert error.lines() == [
        "Error: It broke.", "Mend it.", "At: role deps, task Install, host node1", "Last output:", "    one",
        "    two", "Log: a.log",
    ]  # fmt: skip
    assert ProvisionError("It broke.").lines() == ["Error: It broke."]


def test_ipython_shows_an_error_as_its_lines_and_lets_nothing_in_it_steer_the_page():
    first, *rest = ProvisionError("It broke.", said=["\x1b[2Jgone\r"])._render_traceback_()
    assert first == "\x1b[31mError: It broke.\x1b[0m"
    assert rest == ["Last output:", "     [2Jgone "]


def test_an_interrupted_cell_is_an_interrupt_that_says_how_to_go_on():
    assert issubclass(Interrupted, KeyboardInterrupt)
    lines = Interrupted()._render_traceback_()
    assert " ".join(lines) == str(Interrupted()) and max(map(len, lines)) < 60


def test_an_error_survives_pickling():
    error = pickle.loads(pickle.dumps(ProvisionError("It broke.", hint="Mend it.", log=Path("a.log"))))
    assert error.to_dict() == ProvisionError("It broke.", hint="Mend it.", log=Path("a.log")).to_dict()


def test_an_error_keeps_those_of_other_hosts_while_it_is_shown_where_dask_copies_exceptions(monkeypatch):
    """What Dask imports has copies of exceptions share all that they hold."""
    monkeypatch.setitem(copyreg.dispatch_table, ProvisionError, lambda error: (_of_the_same, (error,)))
    one, two = ProvisionError("One.", host="one"), ProvisionError("Two.", host="two")
    one.errors = {"one": one, "two": two}
    assert one.to_dict() == one.to_dict() and [*one.to_dict()["errors"]] == ["one", "two"]


def _of_the_same(error):
    copied = ProvisionError.__new__(ProvisionError)
    copied.__dict__ = error.__dict__
    return copied
