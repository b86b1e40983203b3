"""What a person sees below the cells of a notebook: a real kernel, real Ansible, a playbook of our own."""

import os
import queue
import re
import time
from dataclasses import dataclass, field

import pytest
from waiting import sleeping, wait_until

from provision.engine import catalog, content
from provision.errors import Interrupted, OptionError

pytest.importorskip("ipykernel")
manager = pytest.importorskip("jupyter_client.manager")

SECONDS = 180
MARK = f"961.{os.getpid()}"  # a sleep that nobody else sleeps
REPORT = {"version": "3.0.8", "origin": "store", "bin": "/nowhere"}
PLAYBOOK = f"""
- hosts: all
  gather_facts: false
  tasks:
    - name: Work on <b>all</b>
      ansible.builtin.shell:
        cmd: |
          echo '{{"number": 3, "total": 9, "unit": "steps"}}' > {{{{ provision_progress }}}}
          for i in $(seq 600); do test -e {{{{ playbook_dir }}}}/seen && break; sleep 0.1; done
      when: mrtrix3_version == "works"
    - name: Compile
      ansible.builtin.shell:
        cmd: 'printf "one\\napp.cpp: error: no such <b>thing</b>\\n" >&2; exit 3'
      when: mrtrix3_version == "fails"
    - name: Wait
      ansible.builtin.command: sleep {MARK}
      when: mrtrix3_version == "waits"
    - name: Report
      ansible.builtin.set_stats:
        data:
          provision: "{{{{ {{inventory_hostname: {{'mrtrix3': {REPORT}}}}} }}}}"
"""


@dataclass
class Cell:
    """What came of a cell, in order: the type of each message and its content."""

    messages: list = field(default_factory=list)

    def of(self, kind):
        return [content for type_, content in self.messages if type_ == kind]

    @property
    def outputs(self):
        """Return what is to be seen when all has been shown: as pages have it, in the order of the outputs."""
        seen = {}
        for kind, found in self.messages:
            if kind in ("display_data", "update_display_data", "execute_result"):
                seen[found.get("transient", {}).get("display_id", kind)] = found["data"]
        return list(seen.values())

    @property
    def said(self):
        return "".join(found["text"] for found in self.of("stream") if found["name"] == "stdout")

    @property
    def error(self):
        (found,) = self.of("error")
        return re.sub(r"\x1b\[\d*m", "", "\n".join(found["traceback"]))


class Kernel:
    """A kernel of this Python."""

    def __init__(self, client, manager, folder):
        self.client, self.manager, self.folder = client, manager, folder

    def run(self, source, meanwhile=None, awaited="", then=None):
        """Run a cell and return what came of it.

        `meanwhile` is called, once, when it has shown something, and `then` when it has shown the text awaited.
        """
        asked, cell, end = self.client.execute(source), Cell(), time.monotonic() + SECONDS
        while True:
            assert time.monotonic() < end, cell.messages
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            # Something that belongs to no cell, or to one that has ended, would be lost where no browser is.
            assert message["parent_header"].get("msg_id") == asked or message["msg_type"] == "status", message
            if message["msg_type"] == "status" and message["parent_header"].get("msg_id") == asked:
                if message["content"]["execution_state"] == "idle":
                    return cell
            elif message["msg_type"] not in ("status", "execute_input"):
                cell.messages.append((message["msg_type"], message["content"]))
                if meanwhile:
                    meanwhile, done = None, meanwhile
                    done()
                if then and awaited in str(message["content"]):
                    then()


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernel")
    for name in ("inventory", "roles", "plugins", "ansible.cfg"):
        (folder / name).symlink_to(content.root() / name)
    (folder / "playbooks").mkdir()
    (folder / "playbooks" / "vars").symlink_to(content.root() / "playbooks" / "vars")
    (folder / "playbooks" / "site.yml").write_text(PLAYBOOK)
    project = str(content.root())
    started = manager.KernelManager()
    home = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), "IPYTHONDIR": str(folder / "ipython")}
    started.start_kernel(env={**os.environ, **home, "PYTHONPATH": project, "PYDEVD_DISABLE_FILE_VALIDATION": "1"})
    client = started.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=SECONDS)
        kernel = Kernel(client, started, folder)
        put_in = f"content.root = lambda: Path({str(folder)!r})"
        begin = f"import provision\nfrom pathlib import Path\nfrom provision.engine import content\n{put_in}"
        assert kernel.run(begin).messages == []
        yield kernel
    finally:
        client.stop_channels()
        started.shutdown_kernel(now=True)


def line(cell):
    (output,) = cell.outputs
    return re.sub(r"in .* \(", "in N s (", output["text/plain"])


def test_a_run_shows_how_far_it_is_and_ends_as_its_line(kernel):
    seen = kernel.folder / "playbooks" / "seen"
    cell = kernel.run('r = provision.run("mrtrix3", version="works")', awaited="3/9 steps", then=seen.touch)
    assert {kind for kind, _ in cell.messages} == {"display_data", "update_display_data"}
    assert line(cell) == "mrtrix3 3.0.8 ready in N s (store) - 1 change"
    assert "mrtrix3 3.0.8 ready in" in cell.outputs[0]["text/html"]
    pages = [found["data"]["text/html"] for found in cell.of("update_display_data")]
    assert any("Work on &lt;b&gt;all&lt;/b&gt;" in page and "3/9 steps" in page for page in pages)
    assert "Starting" in cell.of("display_data")[0]["data"]["text/html"]
    # It stays there when the result is shown by another cell.
    assert [kind for kind, _ in kernel.run("r").messages] == ["execute_result"]


def test_a_cell_that_shows_the_result_does_not_say_the_same_twice(kernel):
    cell = kernel.run('provision.run("mrtrix3", version="quick")')
    line, table = cell.outputs
    assert line == {"text/html": "", "text/plain": ""}
    assert "<table" in table["text/html"] and "nothing changed" in table["text/html"]


def test_a_failure_is_told_in_lines_for_people(kernel):
    cell = kernel.run('provision.run("mrtrix3", version="fails")')
    lines = cell.error.splitlines()
    assert lines[0].startswith("Error: ") and " 3" in lines[0]
    assert lines[1:-1] == [
        "At: task Compile, host localhost",
        "Last output:",
        "    one",
        "    app.cpp: error: no such <b>thing</b>",
    ]
    assert re.fullmatch(r"Log: /\S+/state/provision/logs/\S+-mrtrix3\.log", lines[-1])
    assert cell.of("stream") == []


def test_a_wrong_word_is_told_in_lines_for_people(kernel):
    cell = kernel.run('provision.run("mrtrix")')
    with pytest.raises(OptionError) as refused:
        catalog.role("mrtrix")
    assert cell.error.splitlines() == refused.value.lines()


def test_an_interrupted_cell_says_how_to_go_on_and_nothing_runs_any_more(kernel):
    def interrupt():
        wait_until(lambda: sleeping(MARK), SECONDS)
        kernel.manager.interrupt_kernel()

    cell = kernel.run('provision.run("mrtrix3", version="waits")', meanwhile=interrupt)
    assert cell.error.splitlines() == Interrupted()._render_traceback_()
    assert not sleeping(MARK)
    assert cell.of("stream") == []
    assert kernel.run("print(json.dumps(1))").error.endswith("'json' is not defined")
    assert kernel.run('provision.run("mrtrix3", version="quick").changed').outputs[-1] == {"text/plain": "0"}


def test_verbose_shows_what_ansible_says_and_not_in_red(kernel):
    cell = kernel.run('r = provision.run("mrtrix3", version="quick", verbose=True)')
    assert "TASK [Report]" in cell.said and "PLAY RECAP" in cell.said
    assert {found["name"] for found in cell.of("stream")} == {"stdout"}
