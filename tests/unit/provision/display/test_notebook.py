"""What a notebook shows of a run below its cell."""

import re
import threading
import time
from html.parser import HTMLParser

import pytest

from provision.display import notebook
from provision.display.notebook import NotebookProgress
from provision.display.output import take_back
from provision.engine.events import Step

from .steps import LOST, compile_, on_hosts, run


class Output(list):
    """Keeps the pages that are shown, in the place of a notebook."""

    def show(self, html, text):
        self.append((html, text))

    @property
    def html(self):
        return self[-1][0]

    @property
    def text(self):
        return self[-1][1]


@pytest.fixture
def output():
    return Output()


@pytest.fixture
def page(clock, output):
    """Return a notebook's display whose thread has not been started, so that it draws when it is told to."""
    return NotebookProgress(output)


class Elements(HTMLParser):
    """What there is in a page: its text, and the attributes of each element by its name."""

    def __init__(self, html):
        super().__init__()
        self.words, self.found = [], []
        self.feed(html)

    def handle_starttag(self, name, attributes):
        self.found.append((name, dict(attributes)))

    def handle_data(self, text):
        self.words.append(text)

    def handle_endtag(self, name):
        self.words.append(" " if name == "div" else "")

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def test_a_note_stays_in_sight_in_a_notebook_whatever_is_done_after_it(page, output, clock):
    run(page, clock, 0, task="Tell", note=LOST)
    for number in range(50):
        run(page, clock, 1, task=f"Step {number}", changed=True)
    page.look()
    assert output.text.splitlines()[0] == LOST and LOST in output.html


def test_a_notebook_shows_at_once_that_something_begins(output, page):
    with page:
        assert Elements(output.html).text == "Starting 0.0 s"


def test_a_notebook_shows_role_and_task_and_the_time_gone(output, page, clock):
    page.step(Step("task", "mrtrix3", "Unpack"))
    clock.sleep(75)
    page.look()
    assert Elements(output.html).text == "mrtrix3: Unpacking 1 min 15 s"
    assert output.text == "mrtrix3: Unpacking - 1 min 15 s"


def test_a_notebook_shows_how_far_a_long_task_is_with_a_bar_and_when_it_ends(output, page, clock):
    compile_(page, clock, total=400, seconds=2.8, upto=145)
    page.look()
    assert Elements(output.html).text == "mrtrix3: Compiling 6 min 46 s 145/400 steps, about 12 min left"
    assert ("progress", {"value": "145", "max": "400"}) in Elements(output.html).found


def test_a_notebook_has_no_bar_where_nobody_knows_how_much_there_is(output, page):
    page.step(Step("task", "mrtrix3", "Fetch"))
    page.step(Step("work", "mrtrix3", "Fetch", number=3_000_000, unit="bytes"))
    page.look()
    assert Elements(output.html).text == "mrtrix3: Fetching 0.0 s 3.0 MB"
    assert "<progress" not in output.html


def test_a_notebook_keeps_what_changed_or_failed_late_above_what_runs(output, page, clock):
    run(page, clock, 14, role="deps", task="Install", changed=True)
    run(page, clock, 0.2, task="Look")
    run(page, clock, 9, task="Fetch", failed=True)
    page.step(Step("task", "mrtrix3", "Compile"))
    page.look()
    assert output.text.splitlines() == [
        "✓ deps: Install - changed in 14 s", "✗ mrtrix3: Fetch - failed after 9.0 s", "mrtrix3: Compiling - 0.0 s",
    ]  # fmt: skip
    text = "✓ deps: Install changed in 14 s ✗ mrtrix3: Fetch failed after 9.0 s mrtrix3: Compiling 0.0 s"
    assert Elements(output.html).text == text


def test_a_notebook_does_not_jump_between_two_tasks(output, page, clock):
    run(page, clock, 0.2, task="Look")
    page.look()
    assert Elements(output.html).text == "mrtrix3: Look 0.2 s"
    page.step(Step("task", "mrtrix3", "Unpack"))
    page.look()
    assert Elements(output.html).text == "mrtrix3: Unpacking 0.0 s"


def test_a_page_that_would_be_the_same_is_not_shown_again(output, page):
    page.look()
    page.look()
    assert len(output) == 1


def test_the_closing_line_goes_when_the_cell_shows_the_result_itself(output, page):
    page.end("ready")
    take_back("another")
    assert output.text == "ready"
    take_back("ready")
    assert output[-1] == ("", "")


def test_a_notebook_does_not_grow_without_end(output, page, clock):
    for number in range(30):
        run(page, clock, 1, task=f"Task {number}", changed=True)
    page.look()
    lines = output.text.splitlines()
    assert lines[:2] == ["22 earlier steps", "✓ mrtrix3: Task 22 - changed in 1.0 s"] and len(lines) == 10


def test_a_notebook_shows_each_host(output, page):
    page.step(Step("task", "mrtrix3", "Unpack"))
    page.step(Step("done", "mrtrix3", "Unpack", "node1", changed=True))
    page.look()
    assert output.text == "✓ mrtrix3: Unpack on node1 - changed in 0.0 s\nmrtrix3: Unpacking - 0.0 s, done on 1 host"


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", "'><img src=x>", "a\x1b[31mb\r\nc"])
def test_nothing_that_a_machine_says_becomes_markup_in_a_notebook(output, page, clock, evil):
    def shown():
        page.look()
        return Elements(output.html)

    page.step(Step("work", evil, evil, evil, number=1, total=2, unit=evil))
    seen = [shown()]
    page.step(Step("done", evil, evil, evil, changed=True))
    seen.append(shown())
    page.end(evil)
    seen.append(Elements(output.html))
    for elements in seen:
        assert {name for name, _ in elements.found} <= {"div", "span", "progress"}
        assert {name for _, attributes in elements.found for name in attributes} <= {"style", "value", "max"}
        assert "".join(letter if letter.isprintable() else " " for letter in evil).split()[0] in elements.text
    assert all(line.isprintable() for _, text in output for line in text.splitlines())


def test_a_notebook_ends_with_the_closing_lines_alone_and_what_has_columns_keeps_them(output, page, clock):
    with page:
        run(page, clock, 14, changed=True)
        page.end("done in 1.0 s\nsshd  ready\n    ssh root@127.0.0.1")
    assert output.text == "done in 1.0 s\nsshd  ready\n    ssh root@127.0.0.1"
    assert Elements(output.html).text == "done in 1.0 s sshd ready ssh root@127.0.0.1"
    assert ["monospace" in line for line in output.html.split("</div>")] == [False, True, True, False]


def test_a_notebook_is_left_with_what_was_done_when_a_run_fails(output, page, clock):
    with pytest.raises(RuntimeError), page:
        run(page, clock, 14, changed=True)
        page.step(Step("task", "mrtrix3", "Compile"))
        raise RuntimeError
    assert output.text == "✓ mrtrix3: Unpack - changed in 14 s"


def test_a_notebook_draws_by_itself_but_not_more_often_than_people_can_see(output):
    with NotebookProgress(output) as page:
        begin = time.monotonic()
        for number in range(3000):
            page.step(Step("work", "mrtrix3", "Compile", number=number, total=3000, unit="steps"))
            time.sleep(0.0002)
        seconds = time.monotonic() - begin
    assert 2 <= len(output) <= 3 + seconds / notebook.SHORTEST_PAUSE_SECONDS


def test_the_time_goes_on_in_a_notebook_while_nothing_happens(output):
    with NotebookProgress(output) as page:
        page.step(Step("task", "mrtrix3", "Compile"))
        end = time.monotonic() + 60
        while not re.search(r"Compiling [1-9]", Elements(output.html).text):
            assert time.monotonic() < end
            time.sleep(0.05)


def test_nothing_comes_from_a_notebooks_display_after_its_end(output, monkeypatch):
    monkeypatch.setattr(notebook, "LOOK_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(notebook, "SHORTEST_PAUSE_SECONDS", 0.01)
    before = set(threading.enumerate())
    with NotebookProgress(output) as page:
        page.step(Step("task", "mrtrix3", "Compile"))
        page.end("ready")
    shown = len(output)
    time.sleep(0.1)
    page.step(Step("task", "mrtrix3", "Late"))
    time.sleep(0.1)
    assert (len(output), output.text) == (shown, "ready")
    assert "provision-progress" not in {thread.name for thread in set(threading.enumerate()) - before}


def test_of_many_hosts_as_many_have_a_line_as_fit(output, page):
    for number in range(notebook.LINES_OF_RUNNING + 3):
        page.step(Step("task", "mrtrix3", "Unpack", f"node{number}"))
    page.look()
    lines = output.text.splitlines()
    assert len(lines) == notebook.LINES_OF_RUNNING + 1 and lines[0].startswith("mrtrix3: Unpacking on node0 ")
    assert lines[-1] == "and on 3 more"


def test_the_line_of_each_host_has_how_far_that_one_is(output, page):
    on_hosts(page)
    page.look()
    assert output.text.splitlines() == [
        "mrtrix3: Compiling on node1 - 0.0 s", "mrtrix3: Compiling on node2 - 0.0 s, 145/401 steps"
    ]  # fmt: skip
    assert ("progress", {"value": "145", "max": "401"}) in Elements(output.html).found
