"""What runs on the machines runs on the oldest Python that a supported system has of its own: that of Debian 12."""

from __future__ import annotations

import re
from pathlib import Path

from box import PROJECT, Box, Machines

PLACE = PROJECT / "tests/unit/plugins"
# Where the tests of the package are: they need its extras, and Python 3.11.
INSTALL = """
.venv/bin/python -m pip install -q --target /opt/pytest pytest hypothesis
apt-get install -y -qq --no-install-recommends git openssh-client > /dev/null
"""
OTHERS = re.compile(r"^(from|import) provision\b|^import (numpy|nibabel|yaml)", re.M)


def of_the_machine() -> list[Path]:
    """Return the tests of what runs on the machines alone."""
    texts = {path: path.read_text("utf-8") for path in sorted(PLACE.rglob("test_*.py"))}
    return [path for path, text in texts.items() if "from plugins" in text and not OTHERS.search(text)]


def test_the_machines_code_runs_on_debians_own_python(machines: Machines) -> None:
    with machines.box(with_pytest(machines)) as box:
        run_tests(box)


def with_pytest(machines: Machines) -> Path:
    """Return a bookworm root with what the tests need."""
    return machines.layer(machines.ready("bookworm"), "pytest", lambda box: box.run(INSTALL), key=[INSTALL])


def run_tests(box: Box) -> None:
    files = [str(path.relative_to(PROJECT)) for path in of_the_machine()]
    assert len(files) > 30
    # The environment is one of Debian's own Python; the tests need no more of it than Ansible.
    path = ".venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"PYTHONPATH": "/opt/pytest", "PATH": f"{Box.project}/{path}"}
    version = box.run(".venv/bin/python -c 'import sys; print(sys.base_prefix, sys.version_info >= (3, 11, 4))'").stdout
    assert version == "/usr False\n"
    done = box.run(f".venv/bin/python -m pytest -q -p no:cacheprovider {' '.join(files)}", env=environment)
    assert re.search(r"\d{3} passed", done.stdout) and "failed" not in done.stdout
