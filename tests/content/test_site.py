"""The documentation is a site in which no link leads nowhere, and which holds all that it is made from."""

from __future__ import annotations

import ast
import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import provision
from provision.engine import catalog
from provision.machine import ngrok_errors

pytest.importorskip("zensical", reason="Zensical is not installed: the extra docs has it")

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("roles/*/README.md")]
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)[^)]*\)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as strictly as Zensical can."""
    site = tmp_path_factory.mktemp("site")
    program = [sys.executable, ROOT / "docs/site.py", site]
    done = subprocess.run(program, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return site


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "clone",
                    ignore=shutil.ignore_patterns(".*", "__pycache__", "tests", "benchmarks"))  # fmt: skip
    with (tmp_path / "clone/docs/index.md").open("a") as file:
        file.write("\n[lost](nowhere.md)\n")
    program = [sys.executable, tmp_path / "clone/docs/site.py", tmp_path / "site"]
    done = subprocess.run(program, env={**os.environ, "PYTHONPATH": str(tmp_path / "clone")}, capture_output=True)
    assert done.returncode != 0 and not (tmp_path / "site").exists()


def page(site: Path, name: str) -> str:
    return (site / name / "index.html").read_text()


def headings(text: str) -> set[str]:
    return set(re.findall(r'<h\d id="([^"]+)"', text))


def test_every_role_has_a_page_with_all_its_options(site: Path) -> None:
    for role in catalog.roles().values():
        assert set(role.options) | {"report"} <= headings(page(site, f"reference/{role.name}"))


def test_all_that_is_public_in_python_is_in_the_reference_with_examples(site: Path) -> None:
    text = page(site, "reference/python")
    assert {f"provision.{name}" for name in provision.__all__} <= headings(text)
    assert text.count(">Examples:<") >= len(provision.__all__)
    assert re.findall(r":[a-z]+:<", text) == []  # Sphinx's markup, which shows here


def test_every_command_is_in_the_reference_with_what_it_says_of_itself(site: Path) -> None:
    text = html.unescape(re.sub(r"<[^>]+>", "", page(site, "reference/cli")))
    said = subprocess.run([sys.executable, "-m", "provision", "--help"], capture_output=True, text=True, check=True)
    commands = re.findall(r"^    ([\w-]+) ", said.stdout, re.M)
    assert len(commands) > 10
    assert [name for name in commands if f"usage: provision {name}" not in text] == []


def test_every_refusal_of_ngrok_is_told_with_what_to_do(site: Path) -> None:
    text = page(site, "reference/ngrok")
    assert [code for code in ngrok_errors.KNOWN if f"ERR_NGROK_{code}<" not in text] == []


def test_pictures_are_on_the_pages_that_show_them(site: Path) -> None:
    for name in (".", "pictures", "howto/own_data"):
        sources = re.findall(r'<img\b[^>]*\bsrc="([^"]+\.png)"', page(site, name))
        assert sources and [source for source in sources if not (site / name / source).is_file()] == []


def test_code_has_a_button_that_copies_it(site: Path) -> None:
    assert "content.code.copy" in page(site, "pictures")


@pytest.mark.parametrize(
    "words",
    [
        "tensor", "uninstall", "eddy", "a whole study", "dpi", "overlay", "upgrad", "sudo", "patient", "offline",
        "cloud-init", "docker", "slurm", "modulefile", "without root", "binder",
    ],
)  # fmt: skip
def test_what_people_search_for_is_a_heading(site: Path, words: str) -> None:
    index = json.loads((site / "search.json").read_text())
    titles = [entry["title"].lower() for entry in index["items"]]
    assert [title for title in titles if words in title]


def test_each_message_has_a_page_with_what_to_do(site: Path) -> None:
    text = page(site, "messages/there-is-no-role-there-is-no-option")
    assert "<h1" in text and "There is no role ... There is no option ..." in text and "provision list" in text
    assert len(list((site / "messages").iterdir())) > 60


def test_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    fetched = re.compile(r'<(?:script|link|img)\b[^>]*\b(?:src|href)="https?://[^"]*"')
    assert [found for path in site.rglob("*.html") for found in fetched.findall(path.read_text())] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_of_the_repository_where_it_is_read_there(path: Path) -> None:
    # What the site makes is not there.
    links = [link for link in LINK.findall(path.read_text()) if not link.startswith("reference/")]
    assert [link for link in links if not (path.parent / link).exists()] == []


# What people are told


def said_by_the_code() -> str:
    """All texts in the code, with each value that is put in at run time as a line end."""
    texts = []
    for path in [*ROOT.glob("provision/**/*.py"), *ROOT.glob("plugins/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(part.value if isinstance(part, ast.Constant) else "\n" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(re.sub(r"\{\w*\}", "\n", node.value))
    for path in [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/vars/*.yml")]:
        texts.append(re.sub(r"' ~ [\w.]+ ~ '|' ~ [\w.]+,|\{\{.*?\}\}", "\n", path.read_text()))
    return "\n".join(texts)


def test_every_error_text_that_is_explained_is_one_that_the_code_tells() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text().partition("## For programs")[0]
    quoted = [cell for row in re.findall(r"^\| (`.*?) \| ", page, re.M) for cell in re.findall(r"`([^`]+)`", row)]
    quoted += re.findall(r"^`(Interrupted[^`]+)`", page, re.M)
    assert len(quoted) > 40
    said = said_by_the_code()
    parts = {text: [part.strip() for part in text.split("...") if len(part.strip()) > 1] for text in quoted}
    assert {text: missing for text, wanted in parts.items() if (missing := [p for p in wanted if p not in said])} == {}
