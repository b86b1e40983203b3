"""What `bootstrap` promises to somebody who has just got a machine."""

from __future__ import annotations

import functools
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from box import PROJECT, SUITES, Box, Machines
from waiting import wait_until

WORKS = "./bootstrap ansible-playbook --version"
WORKS_SMALL = "./bootstrap python -c 'import hatchling, provision'"
# What is left of the lock where it does not matter what is installed: what builds the project, and one for extras.
SMALL = r"editables|hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers|asttokens"


def cut_lock(box: Box, folder: str = Box.project) -> None:
    """Leave a few small packages in the lock."""
    for path in (PROJECT / "requirements").glob("*.txt"):
        if path.name != "uv.txt":
            kept = re.findall(rf"^(?:[#-].*\n|(?:{SMALL})==.*\n(?: .*\n)*)", path.read_text(), re.M)
            box.write(f"{folder}/requirements/{path.name}", "".join(kept))


@pytest.fixture(scope="module")
def fresh(machines: Machines) -> Callable[[str], tuple[Path, CompletedProcess[str]]]:
    """Give a suite's root after the first bootstrap, without any extra, and what that printed."""

    @functools.cache
    def make(suite: str) -> tuple[Path, CompletedProcess[str]]:
        first = []
        line = "./bootstrap python -c 'import sys, ansible_runner, provision; print(sys.prefix)'"
        root = machines.layer(machines.base(suite), "fresh", lambda box: first.append(box.run(line)))
        return root, first[0]

    return make


@pytest.fixture(scope="module")
def small_root(machines: Machines) -> Path:
    """Bookworm after the first bootstrap with a small lock."""

    def prepare(box: Box) -> None:
        cut_lock(box)
        box.run("./bootstrap")

    return machines.layer(machines.base("bookworm"), "small", prepare)


@pytest.fixture
def small(machines: Machines, small_root: Path) -> Iterator[Box]:
    with machines.box(small_root) as box:
        cut_lock(box)
        yield box


@pytest.mark.parametrize("suite", SUITES)
def test_fresh_machine_gets_what_the_command_needs_and_is_told_so(machines: Machines, fresh, suite: str) -> None:
    root, first = fresh(suite)
    assert first.stdout == "/root/project/.venv\n"
    said = first.stderr.splitlines()
    assert len(said) == 2
    assert said[0].startswith("bootstrap: installing python3.1")
    assert said[1] == "bootstrap: preparing .venv, once"
    with machines.box(root, offline=True) as box:
        assert "config file = /root/project/ansible.cfg" in box.run(WORKS, env={"LANG": ""}).stdout


def test_extras_have_all_that_their_commands_need(machines: Machines, fresh) -> None:
    with machines.box(fresh("bookworm")[0]) as box:
        box.run("umask 000; ./bootstrap python docs/site.py /tmp/site && test -s /tmp/site/index.html")
        # Whatever the umask of the first command that imports what an extra brings.
        assert box.run("find .venv ! -type l -perm /022").stdout == ""
        refused = box.run("./bootstrap provision glyphs nowhere.mif", check=False)
        assert "nowhere.mif" in refused.stderr and "pip install" not in refused.stderr
        assert box.run("tail -n 1 .venv/.provision").stdout == "docs view\n"


def test_ordinary_user_needs_sudo_once_and_may_have_spaces_in_the_path(trixie: Box) -> None:
    trixie.add_user("ada")
    trixie.run("mv ~ada/project '/home/ada/my project'")
    cut_lock(trixie, "/home/ada/my project")
    first = trixie.run(WORKS_SMALL, user="ada", cwd="/home/ada/my project")
    assert "through sudo" in first.stderr
    assert (
        trixie.run(
            "find . -path './requirements/*' -o ! -user ada -print", user="ada", cwd="/home/ada/my project"
        ).stdout
        == ""
    )


def test_user_without_sudo_is_told_what_to_ask_for(trixie: Box) -> None:
    trixie.add_user("eve", sudo=False)
    refused = trixie.run("./bootstrap", user="eve", check=False)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].endswith("sudo is not allowed; as root: apt-get install python3.13-venv")


def test_second_time_is_silent_and_installs_nothing(ready_box: Box) -> None:
    ready_box.cut_network()
    # Whatever could install something would now say so and fail.
    ready_box.run(
        "rm -r .venv/lib/python3*/site-packages/pip; cd /usr/local/bin\n"
        "for name in uv apt-get; do printf '#!/bin/sh\\nexit 1' > $name; chmod a+x $name; done"
    )
    once = "./bootstrap true && PROVISION_EXTRAS=demo ./bootstrap"
    assert (ready_box.run(once).stdout, ready_box.run(once).stderr) == ("", "")


def test_works_from_any_folder_through_a_link_and_under_another_pythons_settings(ready_bookworm: Box) -> None:
    ready_bookworm.cut_network()
    ready_bookworm.write("/srv/elsewhere/yaml.py", "raise RuntimeError('not this one')\n")
    astray = {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/srv/elsewhere", "VIRTUAL_ENV": "/nowhere", "LC_ALL": "C"}
    ready_bookworm.run("ln -s /root/project/bootstrap /usr/local/bin/start-here")
    shown = ready_bookworm.run("start-here ansible-playbook --version", cwd="/srv/elsewhere", env=astray)
    assert "config file = /root/project/ansible.cfg" in shown.stdout
    ready_bookworm.run(WORKS, env={"LANG": "xx_XX.UTF-8"})


def test_exit_code_and_signals_are_those_of_the_command(ready_bookworm: Box) -> None:
    assert ready_bookworm.run("./bootstrap sh -c 'exit 7'", check=False).returncode == 7
    waiting = ready_bookworm.popen("exec ./bootstrap python -c 'print(1, flush=True); input()'", stdin=-1)
    assert waiting.stdout.readline() == "1\n"
    waiting.send_signal(signal.SIGTERM)
    assert waiting.wait(30) == -signal.SIGTERM


def test_a_command_brings_the_extra_that_it_needs_beside_those_there(small: Box) -> None:
    small.run("PROVISION_EXTRAS=study ./bootstrap")
    small.run("./bootstrap provision sample", check=False)
    assert small.run("tail -n 1 .venv/.provision").stdout == "demo study\n"
    small.run(".venv/bin/python -c 'import asttokens'")


def test_killed_while_preparing_is_repaired(small: Box) -> None:
    preparing = small.popen("PROVISION_EXTRAS=view ./bootstrap")
    wait_until(lambda: "unfinished" in small.read(".venv/.provision"))
    preparing.kill()
    preparing.wait()
    small.run(WORKS_SMALL)


def test_moved_environment_is_made_anew(small: Box) -> None:
    small.run("mv /root/project /root/moved")
    assert small.run(WORKS_SMALL, cwd="/root/moved").stderr == "bootstrap: preparing .venv, once\n"


def test_somebodys_own_environment_is_kept(small: Box) -> None:
    small.run("rm .venv/.provision && touch .venv/mine")
    small.run("./bootstrap ls .venv/mine")


def test_of_two_at_once_one_makes_an_environment_without_its_python_anew(small: Box) -> None:
    small.run("rm .venv/bin/python && ln -s /usr/bin/python3.10 .venv/bin/python")
    both = [small.popen(f"umask 000; {WORKS_SMALL}; umask") for _ in range(2)]
    printed, said = zip(*(process.communicate(timeout=300) for process in both), strict=True)
    assert [process.returncode for process in both] == [0, 0]
    first, second = sorted(said)
    assert first == "bootstrap: preparing .venv, once\n"
    assert re.fullmatch("bootstrap: waiting for another bootstrap, process [0-9]+ of root\n", second)
    # Whatever the umask, which is the command's own again, nobody else can change what is run or hold the lock.
    assert all(text.endswith("0000\n") for text in printed)
    assert small.run("find .venv .venv.lock ! -type l -perm /022; stat -c %a .venv .venv.lock").stdout == "755\n600\n"


def test_the_wait_for_another_ends_and_names_it(small: Box) -> None:
    small.run("sed -i 's/^longest_wait=.*/longest_wait=1/' bootstrap; echo unfinished > .venv/.provision")
    small.popen("exec 9<> .venv.lock; flock 9; echo -n process $$ of root >&9; exec sleep 600")
    wait_until(lambda: small.run("flock -n .venv.lock true", check=False).returncode == 1)
    refused = small.run("./bootstrap", check=False)
    assert refused.returncode == 1
    assert re.search("gave up after 1 s; end process [0-9]+ of root", refused.stderr)


def test_a_package_that_is_not_the_one_of_the_lock_is_refused(small: Box) -> None:
    small.run("sed -Ei 's/sha256:[0-9a-f]{8}/sha256:00000000/' requirements/view.txt")
    refused = small.run("PROVISION_EXTRAS=view ./bootstrap true", check=False)
    assert refused.returncode == 1 and "hash" in refused.stderr.lower()
    assert refused.stderr.splitlines()[-1].startswith("bootstrap: the packages that this project needs could not be")


def test_unknown_extra_is_named_with_those_there_are(small: Box) -> None:
    refused = small.run("PROVISION_EXTRAS=veiw ./bootstrap true", check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("bootstrap: there is no extra veiw; there are: benchmark demo ")


def test_old_python_is_named(bookworm: Box) -> None:
    bookworm.write("/usr/local/bin/python3", "#!/bin/sh\necho 3.9\n", mode="755")
    bookworm.run("rm /usr/bin/python3.11")
    refused = bookworm.run("./bootstrap", check=False)
    assert refused.returncode == 1
    assert refused.stderr == (
        "bootstrap: Python 3.11 or newer is needed, and python3 is 3.9. "
        "Install one, or name it: PROVISION_PYTHON=/path/to/python ./bootstrap\n"
    )


def test_failed_download_shows_the_reason_and_one_sentence(small: Box) -> None:
    small.cut_network()
    small.run("sed -i 's/^hatchling==/&9999/' requirements/base.txt")
    refused = small.run("./bootstrap true", env={"PIP_RETRIES": "0"}, check=False)
    assert refused.returncode == 1
    assert "ERROR: " in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("bootstrap: the packages that this project needs could not be")
