"""How the servers that a run may need are found and asked."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import socket
import sys
import threading

import pytest

from plugins.module_utils.provision import reach
from provision.engine import catalog

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
        threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
        yield f"127.0.0.1:{made.server_port}"
        made.shutdown()


def test_an_answer_tells_the_servers_clock():
    with server() as address:
        assert reach.ask(f"http://{address}/x", {}) == reach.Answer("127.0.0.1", "", 1795435200.0)


@pytest.mark.parametrize(
    ("code", "problem"), [(404, "it answered 404 Not Found"), (502, "it answered 502 "), (405, "")]
)
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


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """The folder of a configuration that apt reads in place of the machine's."""
    if not shutil.which("apt-get"):
        pytest.skip("there is no apt here")
    folders = {"Dir::Etc": tmp_path, "Dir::Etc::Parts": tmp_path / "parts", "Dir::Cache": tmp_path / "cache"}
    main = tmp_path / "apt.conf"
    main.write_text("".join(f'{name} "{folder}";\n' for name, folder in folders.items()))
    monkeypatch.setenv("APT_CONFIG", str(main))
    monkeypatch.setattr(reach, "SECONDS", 60)  # the tests are not about time
    for name in ("sources.list.d", "cache"):
        (tmp_path / name).mkdir()
    return tmp_path


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
            "URIs: http://deb.example.org/debian\nSuites: trixie trixie-updates\nComponents: main\n",
            "http://deb.example.org/debian/dists/trixie/InRelease",
        ),
        ("sources.list", "deb http://flat.example.org ./", "http://flat.example.org/./InRelease"),
        ("sources.list", "deb file:/srv/mirror trixie main", ""),
        ("sources.list", "deb http://broken.example.org", ""),
        ("sources.list.d/notes.txt", "deb http://deb.example.org/debian trixie main", ""),
    ],
)
def test_apts_server_is_the_one_it_is_configured_with_and_nothing_is_written_to_find_it(apt, name, text, page):
    (apt / name).write_text(text)
    assert reach.apt_page() == page
    assert not list((apt / "cache").iterdir())


def test_without_apt_or_where_it_does_not_answer_there_is_no_page_or_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert reach.apt_page() == ""
    (tmp_path / "apt-get").write_text("#!/bin/sh\nread line < /proc/self/fd/1\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setattr(reach, "SECONDS", 0.2)
    with pytest.raises(TimeoutError):
        reach.apt_page()


def test_apts_own_proxy_comes_before_that_of_the_environment(apt, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://of-the-environment.example.org:1")
    monkeypatch.setenv("https_proxy", "http://of-the-environment.example.org:2")
    with (apt / "apt.conf").open("a") as file:
        file.write('Acquire::http::Proxy "http://of-apt.example.org:3";\nAcquire::https::Proxy "DIRECT";\n')
    found = reach.apt_proxies()
    assert found["http"] == "http://of-apt.example.org:3" and "https" not in found


@pytest.fixture
def pip(tmp_path, monkeypatch):
    """A configuration file of pip's, which is stronger than those of the machine."""
    monkeypatch.setattr(reach, "SECONDS", 60)
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    return tmp_path / "pip.conf"


@pytest.mark.parametrize(
    ("text", "index", "page"),
    [
        ("[global]\nindex-url = https://a.example.org/simple\n", "", "https://a.example.org/simple/pip/"),
        ("[global]\nindex-url = file:///srv/simple\n", "", ""),
        (
            "[install]\nindex-url = https://b.example.org/simple/\n[global]\nindex-url = https://a.example.org/\n",
            "",
            "https://b.example.org/simple/pip/",
        ),
        (
            "[install]\nindex-url = https://b.example.org/simple/\n",
            "https://env.example.org/simple",
            "https://env.example.org/simple/pip/",
        ),
    ],
)
def test_pips_index_is_the_one_it_is_configured_with(pip, monkeypatch, text, index, page):
    pip.write_text(text)
    if index:
        monkeypatch.setenv("PIP_INDEX_URL", index)
    assert reach.pip_page() == page


def test_pips_own_index_is_taken_where_none_is_configured(monkeypatch):
    monkeypatch.setattr(reach, "SECONDS", 60)
    said, configured = reach._said, "global.no-cache-dir='true'\n"
    monkeypatch.setattr(reach, "_said", lambda *words: configured if "-m" in words else said(*words))
    assert reach.pip_page().startswith("https://") and reach.pip_page().endswith("/simple/pip/")


def test_a_python_without_pip_has_no_index_to_be_asked(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert reach.pip_page() == ""


def test_the_repository_that_is_asked_for_is_the_one_that_the_role_takes():
    assert catalog.role("mrtrix3").options["mrtrix3_repo"].default == reach.GIT
