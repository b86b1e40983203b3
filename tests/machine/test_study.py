"""A whole study on fresh machines with MRtrix3: on one, on several over SSH, and on a drive that goes away."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import fleets
import pytest
from box import PROJECT, Box, Machines
from layers import packaged
from waiting import wait_until

from benchmarks import study_data

HERE = Path(__file__).parent / "study"
PYTHON = f"PYTHONPATH={Box.project} {Box.project}/.venv/bin/python"
PROVISION = f"{Box.project}/.venv/bin/provision"
SUBJECTS = study_data.FEWEST
OTHERS = """
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -qq --no-install-recommends openssh-server fuse3 > /dev/null
.venv/bin/python -m pip install -q 'mfusepy>=3,<4'
mkdir -m 700 -p ~/.ssh; ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys
"""
# What a series has when it is done.
IMAGES = [f"model-{model}_param-fod_label-{{}}_dwimap.mif.gz" for model in ("msmtcsd", "mtnorm")]
TISSUE = ["model-msmtcsd_param-response_label-{}_dwimap.txt", *IMAGES]
STEPS = ("mask", "gradients", "response", "fod", "normalise")
QUICK = "--steps /srv/quick.yml --no-report"
FIRST = "/srv/bids /srv/out participant --steps /srv/quick.yml"
SHARED = f"/srv/shared/bids /srv/shared/out participant {QUICK} --executor /srv/{{}}.yml"


def quick_steps() -> str:
    """Return the steps of csd with coarser FODs, which take a fourth of the time, for tests of all but the FODs."""
    first, *rest = PROJECT.joinpath("provision/study/steps/csd.yml").read_text().split("dwi2fod msmt_csd ")
    tissues = [part.partition("-mask")[0].count("{out.fod_") for part in rest]
    orders = [",".join(["4", *["0"] * (count - 1)]) for count in tissues]
    return first + "".join(f"dwi2fod msmt_csd -lmax {order} {part}" for order, part in zip(orders, rest, strict=True))


@pytest.fixture(scope="module")
def root(machines: Machines) -> Path:
    """A root with the distribution's MRtrix3, an SSH server that was never started, and FUSE."""
    return machines.layer(packaged(machines, "trixie"), "study", lambda box: box.run(OTHERS), key=[OTHERS])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> study_data.Study:
    return study_data.write(tmp_path_factory.mktemp("study") / "bids", SUBJECTS)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the first run, in a folder of this machine that the other has at /srv/out."""
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def box(machines: Machines, root: Path, data: study_data.Study, out: Path) -> Iterator[Box]:
    with machines.box(root, offline=True) as box:
        box.copy_in(data.folder, "/srv/bids")
        box.share(out, "/srv/out")
        box.write("/srv/quick.yml", quick_steps())
        yield box


@pytest.fixture(scope="module")
def first(box: Box) -> dict:
    """What the first run on the whole study said."""
    return process(box, FIRST, code=1)


def process(box: Box, line: str, code: int = 0, program: str = PROVISION) -> dict:
    """Run the command, which must end with the code, and return what it says."""
    done = box.run(f"{program} process {line} --json", check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def states(said: dict) -> dict[str, str]:
    return {row["series"]: row["state"] for row in said["series"]}


def files(folder: Path) -> dict[str, str]:
    """Return the digests of all files in a folder but the claim, by their paths in it."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in found.items()
        if not name.startswith(".provision/claim")
    }


def records(out: Path) -> dict[tuple[str, str], dict]:
    found = [json.loads(path.read_text()) for path in out.glob(".provision/records/*/*.json")]
    return {(record["series"], record["step"]): record for record in found}


def promised(name: str, tissues: tuple[str, ...] = ("WM", "GM", "CSF")) -> set[str]:
    """Return the outputs of a series by their paths in the output folder."""
    ends = {"desc-brain_mask.nii.gz", "gradients.json", "provenance.json"}
    # The response of all three tissues is estimated whatever the shells.
    ends |= {TISSUE[0].format(tissue) for tissue in ("WM", "GM", "CSF")}
    ends |= {image.format(tissue) for image in IMAGES for tissue in tissues}
    return {f"{'/'.join(name.split('_'))}/dwi/{name}_{end}" for end in ends}


# --- On one machine ---------------------------------------------------------------------------------------------------


def test_all_that_can_be_processed_is_and_the_rest_is_named_with_the_reason(
    first: dict, out: Path, data: study_data.Study
) -> None:
    wrong = {data.corrupt, data.swapped}
    assert states(first) == dict.fromkeys(data.processed, "done") | dict.fromkeys(wrong, "failed")
    rows = csv.DictReader(io.StringIO((out / "failed.tsv").read_text()), dialect="excel-tab")
    failed = {row["series"]: row for row in rows}
    assert failed.keys() == wrong
    assert failed[data.corrupt]["step"] == "data" and "truncated" in failed[data.corrupt]["error"]
    assert (failed[data.swapped]["step"], failed[data.swapped]["command"]) == ("gradients", "gradient_check")
    assert "swap" in failed[data.swapped]["error"]
    assert (out / failed[data.swapped]["log"]).read_text()


def test_the_files_have_the_promised_names_and_a_single_shell_has_no_grey_matter(
    first: dict, out: Path, data: study_data.Study
) -> None:
    found = {name for name in files(out) if name.startswith("sub-") and "/" in name}
    expected = set().union(*map(promised, data.right), promised(data.single_shell, ("WM", "CSF")))
    of_swapped = {name for name in found if name.startswith(f"{data.swapped}/")}
    assert found - of_swapped == expected
    assert of_swapped <= promised(data.swapped) and not any("response" in name or "fod" in name for name in of_swapped)
    assert not any(name.startswith(f"{data.corrupt}/") for name in found)
    group = set(files(out / "group"))
    shells = ("b0b1000b2000", "b0b2000")
    assert group == {f"group_{each}_label-{tissue}_response.txt" for each in shells for tissue in ("WM", "GM", "CSF")}


def test_the_built_in_steps_find_the_fibres_with_several_shells_and_with_one(
    first: dict, box: Box, data: study_data.Study
) -> None:
    names = data.right[0], data.single_shell
    box.copy_in(HERE, "/srv/study")
    box.run("cp -a /srv/out /srv/fine")
    labels = " ".join(name.removeprefix("sub-") for name in names)
    said = process(box, f"/srv/bids /srv/fine participant --participant-label {labels} --no-report")
    assert said["changed"]
    paths = [path for name in names for path in promised(name) if IMAGES[1].format("WM") in path]
    found = json.loads(box.run(f"cd /srv/fine; {PYTHON} /srv/study/angles.py {' '.join(paths)}").stdout)
    assert len(found) == len(names)
    for kinds in found.values():
        assert kinds["single fibre"]["passed"] and kinds["crossing"]["passed"], found


def test_the_report_has_a_page_for_each_subject_and_nothing_is_loaded_from_elsewhere(first: dict, out: Path) -> None:
    there = files(out)
    pages = {name for name in there if name.endswith(".html")}
    assert pages == {"index.html", *(f"sub-{number:02d}.html" for number in range(1, SUBJECTS + 1))}
    for page in pages:
        text = (out / page).read_text()
        assert all(
            source.startswith("data:") for source in re.findall(r"""\b(?:src|poster)\s*=\s*["']?([^"'\s>]+)""", text)
        )
        assert not re.search(r"""@import|<link\b|url\(\s*["']?(?!data:|#)""", text)
        # What can be clicked is another page or a log, and it is there.
        links = {link.partition("#")[0] for link in re.findall(r"""\bhref\s*=\s*["']?([^"'\s>]+)""", text)}
        assert links - {""} <= there.keys()


def test_a_second_run_ends_the_same_and_changes_nothing(first: dict, box: Box) -> None:
    stamp = "find . -type f ! -path './.provision/claim*' -printf '%p %T@ %s\\n' | sort"
    before = box.run(stamp, cwd="/srv/out").stdout
    again = process(box, FIRST, code=1)
    assert not again["changed"] and states(again) == states(first)
    after = box.run(stamp, cwd="/srv/out").stdout
    written = {line.split()[0] for line in set(after.splitlines()) ^ set(before.splitlines())}
    assert written <= {"./failed.tsv", "./index.html"}  # the same again, with a new date


def test_the_records_name_the_version_of_mrtrix3(first: dict, box: Box, out: Path) -> None:
    (version,) = re.findall(r"== mrinfo (\S+) ==", box.run("mrinfo -version").stdout)
    assert {record["versions"]["mrtrix3"] for record in records(out).values()} == {version}


def test_nothing_is_left_in_the_folder_for_temporary_files(first: dict, box: Box) -> None:
    assert box.run("find /tmp -mindepth 1 ! -path /tmp/provision-study-0").stdout == ""


def test_scrubbed_results_tell_neither_names_nor_places(box: Box) -> None:
    box.run(
        "mkdir /srv/named; cp /srv/bids/dwi.* /srv/bids/dataset_description.json /srv/named\n"
        "cp -r /srv/bids/sub-01 /srv/named/sub-01"
    )
    rename = (
        "import nibabel, sys; image = nibabel.load(sys.argv[1]); image.header['descrip'] = b'Jane Doe 1970'\n"
        "nibabel.save(nibabel.Nifti1Image(image.dataobj, image.affine, image.header), sys.argv[1])"
    )
    box.run(f'{PYTHON} -c "{rename}" /srv/named/sub-01/dwi/sub-01_dwi.nii.gz')
    look = "find sub-01 group -type f ! -name '*provenance*' -exec sh -c '{}' x {{}} +"
    texts = look.format('for file; do zcat -f "$file" | grep -a -o -E "Jane|/srv|/tmp|sub-01|fslgrad"; done')
    process(box, f"/srv/named /srv/plain participant {QUICK}")
    told = set(box.run(texts, cwd="/srv/plain", check=False).stdout.split())
    assert {"Jane", "/srv", "fslgrad"} <= told  # what there is to be taken out
    process(box, f"/srv/named /srv/scrubbed participant {QUICK} --scrub")
    assert box.run(texts, cwd="/srv/scrubbed", check=False).stdout == ""
    images = look.format('for file; do case $file in *.gz) mrinfo "$file" || exit 255;; esac; done')
    said = box.run(images, cwd="/srv/scrubbed").stdout
    assert said.count("Dimensions") == 7 and "command_history" not in said and "comments" not in said


def test_a_step_whose_program_is_missing_is_refused_with_the_call_that_brings_it(box: Box) -> None:
    box.run("cp -r /srv/bids /srv/encoded")
    box.write("/srv/encoded/dwi.json", json.dumps({"PhaseEncodingDirection": "j", "TotalReadoutTime": 0.05}))
    said = process(box, "/srv/encoded /srv/refused participant --steps preproc,csd", code=1)["error"]
    assert said["code"] == "not-installed" and "provision run fsl" in said["hint"]
    assert {"logs", "records"} & set(box.run("find /srv/refused -printf '%f\\n'").stdout.split()) == set()


# --- On several machines ----------------------------------------------------------------------------------------------

PORTS = {"one": 2351, "two": 2352}
ADDRESSES = {name: f"[127.0.0.1]:{port}" for name, port in PORTS.items()}


@pytest.fixture
def fleet(machines: Machines, root: Path, data: study_data.Study, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A machine where one types, and two that are reached by SSH; they share a folder and a network of their own."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shutil.copytree(data.folder, shared / "bids")
    with fleets.fleet(machines, root, ADDRESSES) as fleet:
        for each in (fleet.home, fleet.one, fleet.two):
            each.share(shared, "/srv/shared")
        hosts = {name: {"ansible_host": "127.0.0.1", "ansible_port": port} for name, port in PORTS.items()}
        fleet.home.write("/srv/quick.yml", quick_steps())
        fleet.home.write("/srv/two.yml", json.dumps({"all": {"hosts": hosts}}))
        hosts["three"] = {"ansible_host": "127.0.0.1", "ansible_port": 2353}  # nobody is there
        fleet.home.write("/srv/three.yml", json.dumps({"all": {"hosts": hosts}}))
        fleet.out = shared / "out"
        yield fleet


def check_whole(out: Path, data: study_data.Study) -> dict[tuple[str, str], dict]:
    """See that each step of each series has one record that holds, and that no file is there that no record has."""
    found, there = records(out), files(out)
    of_series = {(name, step) for name in data.processed for step in STEPS}
    of_swapped = {(data.swapped, "mask"), (data.swapped, "gradients")}
    group = {(f"group_{shells}", "group_response") for shells in ("b0b1000b2000", "b0b2000")}
    assert found.keys() == of_series | of_swapped | group
    assert {key for key, record in found.items() if record["state"] != "done"} == {(data.swapped, "gradients")}
    made = [file for record in found.values() for paths in record["outputs"].values() for file in paths]
    assert {file["path"]: file["sha256"] for file in made} == {
        name: digest
        for name, digest in there.items()
        if name.startswith(("sub-", "group/")) and "/" in name and not name.endswith("_provenance.json")
    }
    assert not [name for name in there if name.endswith(".part")]
    return found


def test_the_hosts_of_an_inventory_share_the_work_and_one_that_dies_costs_no_result(
    fleet: SimpleNamespace, data: study_data.Study
) -> None:
    fleets.know_hosts(fleet, ADDRESSES)
    running = fleet.home.popen(f"{PROVISION} process {SHARED.format('three')} --json")
    # It has done something, and is at something else that takes a while.
    wait_until(lambda: any(one["host"] == "two" for one in records(fleet.out).values()), 400)
    wait_until(lambda: fleet.two.run("pgrep -f '[d]wi2response|[d]wi2fod|[m]tnormalise'", check=False).stdout)
    fleet.two.end()
    said, errors = running.communicate(timeout=800)
    assert running.returncode == 1, said + errors
    answer = json.loads(said)
    assert "error" not in answer, said + errors
    assert set(data.processed) == {name for name, state in states(answer).items() if state == "done"}
    assert any(note.startswith("two ") and "lost" in note for note in answer["notes"])
    assert any(note.startswith("three ") and "Connection refused" in note for note in answer["notes"])
    found = check_whole(fleet.out, data)
    assert {record["host"] for record in found.values()} == {"home", "one", "two"}
    assert {record["host"] for (_, step), record in found.items() if step == "gradients"} == {"home"}
    for each in (fleet.home, fleet.one):
        assert each.run("find /tmp -mindepth 1 -type f").stdout == ""
    again = process(fleet.home, SHARED.format("two"), code=1)
    assert not again["changed"]


def test_a_host_whose_key_is_unknown_is_named_by_its_fingerprint_and_what_to_do(fleet: SimpleNamespace) -> None:
    error = process(fleet.home, SHARED.format("two"), code=1)["error"]
    own = fleets.fingerprint(fleet.two)
    assert error["code"] == "host-key-unknown" and own in error["message"]
    assert "ssh-keyscan -p 2352 -t ed25519 127.0.0.1" in error["hint"]


# --- On a drive that goes away ----------------------------------------------------------------------------------------

IMPATIENT = f"""{PYTHON} -c '
import sys
from provision.cli.main import main
from provision.study import scheduler
scheduler.PATIENCE = 3.0
sys.exit(main())'"""


class Drive:
    """A folder of this machine that a box shows slowly at /srv/drive."""

    def __init__(self, box: Box, folder: Path, data: study_data.Study):
        self.box, self.folder, self.server = box, folder, None
        box.run("test -e /dev/fuse || mknod /dev/fuse c 10 229; mkdir -p /srv/drive")
        box.share(folder, "/srv/real")
        shutil.copytree(data.folder, folder / "bids")
        box.write("/srv/quick.yml", quick_steps())
        self.mount()

    def mount(self) -> None:
        self.box.run("umount -l /srv/drive 2> /dev/null; true")
        self.server = self.box.popen(
            f"{PYTHON} benchmarks/slow_drive.py /srv/real /srv/drive", stdout=subprocess.DEVNULL
        )
        wait_until(lambda: self.box.run("mountpoint -q /srv/drive", check=False).returncode == 0, 60)

    def kill(self) -> None:
        self.box.run("pkill -KILL -f '[s]low_drive.py'")
        self.server.communicate()
        assert self.box.run("ls /srv/drive", check=False).returncode != 0

    def check_final_names(self, out: str) -> None:
        """See that what has its final name is whole."""
        read = f"{Box.project}/.venv/bin/python -c 'import json, sys; [json.load(open(name)) for name in sys.argv[1:]]'"
        self.box.run(
            f"cd /srv/real/{out} && find . -name '*.gz' ! -name '.*' -exec gzip -t {{}} + "
            "&& test -z \"$(find . -name '*.txt' ! -name '.*' -empty)\" "
            f"&& find . -name '*.json' ! -name '.*' -exec {read} {{}} +"
        )


@pytest.fixture(scope="module")
def drive(
    machines: Machines, root: Path, data: study_data.Study, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Drive]:
    if not Path("/dev/fuse").exists():
        pytest.skip("this machine has no /dev/fuse")
    with machines.box(root, offline=True) as box:
        yield Drive(box, tmp_path_factory.mktemp("drive"), data)


def until_half(drive: Drive, out: str) -> None:
    """Wait until several steps are done and another one is at work."""
    wait_until(lambda: len(records(drive.folder / out)) >= 8, 400)
    wait_until(lambda: drive.box.run("pgrep -f '[d]wi2response|[d]wi2fod|[m]tnormalise'", check=False).stdout)


def test_a_run_goes_on_by_itself_when_the_drive_is_mounted_again(drive: Drive, data: study_data.Study) -> None:
    running = drive.box.popen(f"{PROVISION} process /srv/drive/bids /srv/drive/out participant {QUICK} --json")
    until_half(drive, "out")
    drive.kill()
    before = records(drive.folder / "out")
    drive.check_final_names("out")
    time.sleep(8)
    assert running.poll() is None
    drive.mount()
    said, errors = running.communicate(timeout=800)
    assert running.returncode == 1, said + errors
    assert set(data.processed) == {name for name, state in states(json.loads(said)).items() if state == "done"}
    found = check_whole(drive.folder / "out", data)
    assert {key: found[key]["started"] for key in before} == {key: one["started"] for key, one in before.items()}
    assert drive.box.run("find /tmp -mindepth 1 -type f").stdout == ""


def test_a_run_whose_drive_stays_away_says_so_and_the_next_one_ends_it(drive: Drive, data: study_data.Study) -> None:
    running = drive.box.popen(f"{IMPATIENT} process /srv/drive/bids /srv/drive/later participant {QUICK} --json")
    until_half(drive, "later")
    drive.kill()
    said, errors = running.communicate(timeout=300)
    assert running.returncode == 1, said + errors
    assert json.loads(said)["error"]["code"] == "study-gone"
    drive.check_final_names("later")
    before = records(drive.folder / "later")
    assert len(before) >= 8
    assert (
        drive.box.run("pgrep -f '[d]wi2|[m]tnorm|[w]orker.py'; find /tmp -mindepth 1 -type f", check=False).stdout == ""
    )
    drive.mount()
    answer = process(drive.box, f"/srv/drive/bids /srv/drive/later participant {QUICK}", code=1)
    assert set(data.processed) == {name for name, state in states(answer).items() if state == "done"}
    found = check_whole(drive.folder / "later", data)
    assert {key: found[key]["started"] for key in before} == {key: one["started"] for key, one in before.items()}
