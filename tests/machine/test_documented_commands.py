"""Every block of commands and of Python in the documentation is executed as it stands, or says why not.

They are typed on one machine, page after page in an order that suits what they do to it: at a terminal with somebody
who answers it, and in the cells of a notebook. What they presuppose is laid there before; `documented` has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from box import Box, Machines
from cells import has_failed, run_cells, said
from colab import RELEASE_TAG
from documentation import PAGES, ROOT, Block, blocks
from layers import COARSE_FODS, SERVER, packaged, with_colabs_kernel

HERE = Path(__file__).parent / "documented"
LANGUAGES = ("sh", "python")
BLOCKS = [block for page in PAGES for block in blocks(page) if block.language in LANGUAGES and not block.title]

# Lines of blocks that are executed but for them, and why.
NOT_RUN = {
    r"\.\.\.": "the three dots stand for what is the reader's",
    r"^r  +#": "it shows what a line with such dots has returned",
    r"run sshd ngrok": "it asks for a token of the reader's; tests/machine/test_ngrok.py has a service of its own",
    r"bootstrap (demo|test)": "the workflow types both on bare machines, and this is one of the tests",
    r"8a420c772|--version dev|--origin source": "it compiles for half an hour, and wants GitHub",
    r'version="latest"': "it asks GitHub; tests/machine/test_mrtrix3.py has a repository of its own",
    r"%pip install .*\.whl": "it wants the wheel that the reader has uploaded",
}

# The pages with something to execute, in the order in which it is: what removes comes late. Those with Drive in them
# are typed on a machine dressed as Colab's.
ON_COLAB = ("docs/start/colab.md", "docs/colab.md", "docs/store.md", "docs/howto/share.md", "docs/howto/own_data.md")
ORDER = (
    "docs/start/ansible.md", "docs/howto/version.md", "docs/pictures.md", "docs/howto/study.md", "docs/howto/fsl.md",
    "docs/howto/add_a_role.md",
    *ON_COLAB, "docs/howto/hpc.md", "docs/howto/hosted.md", "docs/howto/cloud.md",
    "docs/troubleshooting.md", "docs/howto/offline.md", "docs/install.md", "docs/access.md",
    "docs/collection.md", "README.md", "docs/howto/fleet.md", "docs/machine.md", "docs/start/machine.md",
    "docs/changes.md", "docs/howto/uninstall.md", "docs/howto/upgrade.md",
)  # fmt: skip

# The pages that download something. Elsewhere the machine is alone, so that nobody else has the ports.
ONLINE = ("docs/howto/offline.md", "docs/install.md", "docs/howto/upgrade.md")
BIN = "/root/project/.venv/bin"
# What the page on work without a network has downloaded is all that pip has on the others.
PIP_OF_THE_STICK = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/mnt/usb/wheels"}
# A machine whose owner has a key, folders for builds, and names for itself as one of many. Its packages were there
# before the roles, so that no removal takes them: installing them again and again would take most of the time.
LAY = f"""
{SERVER}
mkdir /usr/lib/mrtrix3/real && mv /usr/lib/mrtrix3/bin/dwi2fod /usr/lib/mrtrix3/real
install -m 755 /root/coarse_fods /usr/lib/mrtrix3/bin/dwi2fod
apt-get install -y -qq --no-install-recommends libsixel1 openssh-client > /dev/null
mkdir -m 0700 -p ~/.ssh && ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
mkdir -p /mnt/usb/wheels /mnt/group/provision /content inventory/host_vars host_vars
echo 127.0.0.1 workshop.dipy.org >> /etc/hosts
for node in node1 node2; do
    echo 'ansible_connection: local' | tee host_vars/$node.example.org.yml > inventory/host_vars/$node.example.org.yml
done
PYTHONPATH=. python /root/documented/lay.py ~/.cache/provision
provision sample phantom --folder /tmp/phantom
cp ~/.cache/provision/* /mnt/group/provision
mkdir -p /srv/google-drive && cp -r ~/.cache/provision /srv/google-drive
pip wheel -q --no-deps -w /srv/wheels .
provision run deps
rm /var/lib/provision/deps.json
"""


@dataclass(frozen=True)
class Outcome:
    """How a block ended, and what was to be seen."""

    failed: bool
    said: str


def lines(block: Block) -> list[str]:
    """Return the commands or statements of a block; what is indented goes on from the line before."""
    return re.findall(r"^\S.*\n(?:[ \t]+\S.*\n)*", block.code, re.M)


def executed(block: Block) -> str:
    """Return what of a block is executed."""
    if block.reason:
        return ""
    typed = "".join(line for line in lines(block) if not any(re.search(one, line) for one in NOT_RUN))
    return typed.replace("\nscans\n", "\nscans = scans[:1]\n")  # the test of the notebook has all of them


def reasons(block: Block) -> list[str]:
    """Return why a block, or lines of it, are not executed."""
    found = [why for one, why in NOT_RUN.items() if any(re.search(one, line) for line in lines(block))]
    return [block.reason] if block.reason else found


RUN = [block for block in BLOCKS if executed(block)]
LEFT_OUT = [block for block in BLOCKS if block not in RUN and reasons(block)]


@pytest.fixture(scope="module")
def outcomes(machines: Machines) -> Iterator[dict[str, Outcome]]:
    """Execute all blocks, and give the outcome of each by its name."""
    with machines.box(with_colabs_kernel(machines, packaged(machines, "trixie"))) as box:
        lay(box)
        found: dict[str, Outcome] = {}
        for name in ORDER:
            found |= run_page(box, name)
        yield found


def lay(box: Box) -> None:
    """Bring what the pages presuppose."""
    box.copy_in(HERE, "/root/documented")
    box.run("chmod +x /root/documented/mrpeek")
    real = '"$(dirname "$(readlink -f "$0")")/../real/dwi2fod"'
    box.write("/root/coarse_fods", COARSE_FODS.format(dwi2fod=real))
    for page, name in {"fleet": "inventory.yml", "study": "tensor.yml"}.items():
        (shown,) = [block for block in blocks(ROOT / f"docs/howto/{page}.md") if block.language == "yaml"]
        box.write(f"{box.project}/{name}", shown.code)
    box.run(LAY, env=environment())


def environment(page: str = "") -> dict[str, str]:
    """Return the variables of who types a page: the project's commands are on PATH, and its wheel where pip looks.

    One machine cannot change itself at two places at once, so that the hosts of an inventory have their turns.
    """
    pip = {"PIP_FIND_LINKS": "/srv/wheels"} if page in ("", *ONLINE) else PIP_OF_THE_STICK
    colab = {"COLAB_RELEASE_TAG": RELEASE_TAG, "PYTHONPATH": "/root/project/tests/colab"} if page in ON_COLAB else {}
    return {
        "PATH": f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM": "xterm-256color",
        "ANSIBLE_FORKS": "1", "PIP_NO_COMPILE": "0", **pip, **colab,  # pip wants 0 for not compiling
    }  # fmt: skip


def run_page(box: Box, name: str) -> dict[str, Outcome]:
    """Execute a page: what is in a row of one language together, as it is typed into one shell or one notebook."""
    box.restore_network() if name in ONLINE else box.cut_network()
    box.run("rm -f provision_founders-provision-*.tar.gz")  # a clone that no earlier page has built in
    found: dict[str, Outcome] = {}
    todo = [block for block in RUN if str(block).startswith(f"{name}:")]
    cells = [block for block in todo if block.language == "python"]
    for block in todo:
        if block.language == "sh":
            found[str(block)] = run_shell(box, block, environment(name))
        elif block is cells[0]:
            found |= run_python(box, cells, environment(name))
    return found


def run_shell(box: Box, block: Block, env: dict[str, str]) -> Outcome:
    """Type a block at a terminal."""
    box.write("/tmp/typed", executed(block))
    done = box.run("python /root/documented/terminal.py /tmp/typed", env=env, check=False)
    return Outcome(done.returncode != 0, done.stdout + done.stderr)


def run_python(box: Box, todo: list[Block], env: dict[str, str]) -> dict[str, Outcome]:
    """Run blocks as the cells of one notebook."""
    outputs = run_cells(box, ["import provision", *map(executed, todo)], seconds=300, env=env)[1:]
    return {str(block): Outcome(has_failed(one), said(one)) for block, one in zip(todo, outputs, strict=True)}


@pytest.mark.parametrize("block", RUN, ids=str)
def test_it_does_what_it_says_without_an_error(block: Block, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[str(block)]
    assert not outcome.failed, outcome.said


def test_each_block_is_executed_or_says_why_not() -> None:
    print(f"{len(RUN)} blocks are executed, {len(LEFT_OUT)} say why not")
    assert [str(block) for block in BLOCKS if block not in RUN + LEFT_OUT] == []
    assert {str(block).rpartition(":")[0] for block in RUN} == set(ORDER)


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_each_reason_for_leaving_out_a_line_is_needed(pattern: str) -> None:
    assert [line for block in BLOCKS if not block.reason for line in lines(block) if re.search(pattern, line)]
