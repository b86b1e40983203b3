"""How the servers that a run may need are found and asked."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading

import pytest

from provision.checkup import reach

DATE = "Mon, 23 Nov 2026 12:00:00 GMT"


@contextlib.contextmanager
def server(code=200, seen=None):
    """A web server on the loopback that gives one answer to all; gives its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            if seen is not None:
                seen.append((self.path, self.headers.get("Authorization")))
            self.send_response_only(code)
            self.send_header("Date", DATE)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{made.server_port}"
        made.shutdown()


def test_an_answer_tells_the_servers_clock():
    with server() as address:
        assert reach.ask(f"http://{address}/x", {}) == reach.Answer("127.0.0.1", "", 1795435200.0)


@pytest.mark.parametrize(("code", "problem"), [(404, "it answers 404 Not Found"), (502, "it answers 502 "), (405, "")])
def test_a_page_that_is_not_there_is_a_problem_and_a_question_not_understood_is_none(code, problem):
    with server(code) as address:
        answer = reach.ask(f"http://{address}/x", {})
    assert answer.problem.startswith(problem) and bool(answer.problem) == bool(problem)
    assert (answer.time > 0) == (code != 502)


def test_a_password_in_an_address_is_sent_and_not_told():
    seen = []
    with server(401, seen) as address:
        answer = reach.ask(f"http://me:s%40same@{address}/simple/", {})
    assert seen == [("/simple/", "Basic bWU6c0BzYW1l")]
    assert "same" not in repr(answer) and answer.host == "127.0.0.1"


def test_a_server_behind_a_proxy_is_asked_through_it():
    seen = []
    with server(200, seen) as address:
        assert reach.ask("http://deb.example.org/debian/", {"http": f"http://{address}"}).problem == ""
    assert seen[0][0] == "http://deb.example.org/debian/"


@pytest.mark.parametrize(
    "ask",
    [lambda port: reach.ask(f"http://127.0.0.1:{port}/", {}, 0.2), lambda port: reach.connect("127.0.0.1", port, 0.2)],
)
def test_a_server_that_is_not_there_or_says_nothing_is_a_problem_in_a_few_words(ask):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert ask(taken.getsockname()[1]).problem == "connection refused"


def test_a_silent_server_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert reach.ask(f"http://127.0.0.1:{silent.getsockname()[1]}/", {}, 0.2).problem == "no answer in time"
        assert reach.connect("127.0.0.1", silent.getsockname()[1]).problem == ""


def test_what_is_no_address_is_a_problem_and_no_error():
    assert reach.ask("http://[", {}).problem and reach.ask("http://a b/", {}).problem


@pytest.mark.parametrize(
    ("name", "text", "page"),
    [
        (
            "sources.list",
            "# deb http://old/ a b\ndeb http://deb.example.org/debian trixie main\n",
            "http://deb.example.org/debian/dists/trixie/InRelease",
        ),
        (
            "sources.list",
            "deb [arch=amd64 signed-by=/a] https://a.example.org/ubuntu/ noble main",
            "https://a.example.org/ubuntu/dists/noble/InRelease",
        ),
        (
            "sources.list.d/debian.sources",
            "Types: deb\nEnabled: no\nURIs: http://off/\nSuites: x\n\n# URIs: http://old/\nTypes: deb\n"
            "URIs: http://deb.example.org/debian\nSuites: trixie trixie-updates\n",
            "http://deb.example.org/debian/dists/trixie/InRelease",
        ),
        ("sources.list", "deb http://flat.example.org ./", "http://flat.example.org/./InRelease"),
        ("sources.list", "deb file:/srv/mirror trixie main", ""),
        ("sources.list.d/notes.txt", "deb http://deb.example.org/debian trixie main", ""),
    ],
)
def test_apts_server_is_the_one_it_is_configured_with(tmp_path, name, text, page):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text)
    assert reach.apt_page(tmp_path) == page


def test_pips_index_is_the_one_it_is_configured_with(tmp_path, monkeypatch):
    weak, strong = tmp_path / "weak", tmp_path / "strong"
    weak.write_text("[global]\nindex-url = https://weak.example.org/simple\n")
    monkeypatch.setattr(reach, "pip_files", lambda: [weak, strong])
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    assert reach.pip_page() == "https://weak.example.org/simple/pip/"
    strong.write_text("[global]\nindex-url = file:///srv/simple\n")
    assert reach.pip_page() == ""
    monkeypatch.setenv("PIP_INDEX_URL", "https://env.example.org/simple/")
    assert reach.pip_page() == "https://env.example.org/simple/pip/"
