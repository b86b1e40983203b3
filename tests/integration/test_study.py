"""A study with steps that are quick: what a run does, what a killed one leaves, and what the next one does about it."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
from waiting import wait_until

import provision
from provision.errors import OptionError, ProvisionError
from provision.study import scheduler
from provision.study.plan import group_of

TABLE = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0.8, 0), (0.6, 0, 0.8), (0, 0.6, 0.8)]
SHELL = [0, *[1000] * 6]
SUBJECTS = ("01", "02", "03")

# Each command notes its beginning; a bad image makes it fail.
STEPS = """
steps:
  - name: mask
    inputs: [dwi, bvec]
    outputs: {mask: desc-brain_mask.txt}
    commands: ["sh -c 'echo {out.mask} >> LOG; sleep 0.05; if test -e {in.dwi}.bad; then echo x: [ERROR] bad; exit 1; fi; sha256sum < {in.dwi} > {out.mask}'"]
  - name: average
    level: group
    inputs: [mask]
    outputs: {mean: mean.txt}
    commands: ["sh -c 'echo $0 >> LOG; cat $@ > $0' {out.mean} {in.mask}"]
  - name: fod
    inputs: [mask, mean]
    outputs: {fod: fod.txt, peaks: peaks.txt}
    commands:
      - "sh -c 'echo {out.fod} >> LOG; sleep 0.05; cat {in.mask} {in.mean} > {out.fod}'"
      - cp {out.fod} {out.peaks}
"""  # noqa: E501


class Dataset:
    """A BIDS folder with small images, an output folder, and a file in which commands note that they began."""

    def __init__(self, top: Path):
        self.bids, self.out, self.log, self.steps = top / "bids", top / "out", top / "log", top / "steps.yml"
        self.scratch = top / "scratch"
        for subject in SUBJECTS:
            self.add(subject)
        for name, rows in (("bval", [SHELL]), ("bvec", zip(*TABLE, strict=True))):
            (self.bids / f"dwi.{name}").write_text("\n".join(" ".join(map(str, row)) for row in rows))
        self.steps.write_text(STEPS.replace("LOG", str(self.log)))

    def image(self, subject: str) -> Path:
        return self.bids / f"sub-{subject}" / "dwi" / f"sub-{subject}_dwi.nii.gz"

    def add(self, subject: str, seed: int = 0) -> None:
        path = self.image(subject)
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(int(subject) + seed).integers(0, 999, (2, 2, 2, len(SHELL)), np.int16)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)

    def process(self, level="participant", **more):
        more = {"steps": [str(self.steps)], "scratch": self.scratch, "progress": lambda _: None, "report": False} | more
        return provision.process(self.bids, self.out, level, **more)

    def began(self) -> list[str]:
        names = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [Path(name).name for name in names]

    def start(self, *more: str) -> subprocess.Popen:
        argv = [sys.executable, "-m", "provision", "process", self.bids, self.out, "participant", "--steps", self.steps]
        argv += ["--scratch", self.scratch, "--jobs", "2", "--json", "--no-report", *more]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True)


@pytest.fixture
def data(tmp_path):
    return Dataset(tmp_path)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(scheduler, "PATIENCE", 0.0)


def states(study):
    return {row.subject: row.state for row in study.rows}


def test_all_steps_are_done_once_and_the_next_run_does_nothing(data):
    first = data.process()
    assert first.ok and first.changed and states(first) == dict.fromkeys(SUBJECTS, "done")
    assert len(data.began()) == 7
    again = data.process()
    assert again.ok and not again.changed and data.began() == []
    assert [row.done for row in again.rows] == [2, 2, 2]
    assert not list(data.scratch.rglob("*.txt"))


def test_a_subject_that_fails_does_not_stop_the_others_and_is_tried_again_only_when_asked(data):
    bad = Path(f"{data.image('02')}.bad")
    bad.touch()
    found = data.process()
    assert not found.ok and states(found) == {"01": "done", "02": "failed", "03": "done"}
    head, row = (line.split("\t") for line in (data.out / "failed.tsv").read_text().splitlines())
    assert dict(zip(head, row, strict=True)) == {
        "subject": "02", "session": "n/a", "series": "sub-02", "step": "mask", "command": "sh", "error": "bad",
        "log": "logs/sub-02_mask.log",
    }  # fmt: skip
    assert (data.out / "logs/sub-02_mask.log").read_text().endswith("[ERROR] bad\n")
    bad.unlink()
    data.began()
    assert states(data.process())["02"] == "failed" and data.began() == []
    assert data.process(retry_failed=True).ok
    assert data.began() == ["sub-02_desc-brain_mask.txt", "sub-02_fod.txt"]
    assert (data.out / "failed.tsv").read_text().count("\n") == 1


def test_a_changed_input_redoes_what_follows_from_it_and_nothing_else(data):
    data.process()
    data.began()
    data.add("02", seed=7)
    assert data.process().ok
    # The average was computed once, and stays.
    assert data.began() == ["sub-02_desc-brain_mask.txt", "sub-02_fod.txt"]


def test_a_touched_input_and_one_that_was_written_again_with_the_same_content_redo_nothing(data):
    data.process()
    data.began()
    os.utime(data.image("01"))
    data.add("02")
    assert not data.process().changed and data.began() == []


def test_folders_that_were_moved_redo_nothing(data):
    data.process()
    data.began()
    data.bids, data.out = (path.rename(path.with_name(f"{path.name}-moved")) for path in (data.bids, data.out))
    assert not data.process().changed and data.began() == []
    data.add("01", seed=1)
    assert data.process().ok and sorted(data.began()) == ["sub-01_desc-brain_mask.txt", "sub-01_fod.txt"]


def test_a_lost_or_changed_output_is_made_again(data):
    data.process()
    data.began()
    (data.out / "sub-01/dwi/sub-01_peaks.txt").unlink()
    (data.out / "sub-03/dwi/sub-03_desc-brain_mask.txt").write_text("other")
    assert data.process().ok
    assert sorted(data.began()) == ["sub-01_fod.txt", "sub-03_desc-brain_mask.txt"]


def test_a_new_subject_uses_the_average_that_there_is_and_the_result_says_so(data):
    data.process()
    data.began()
    data.add("04")
    found = data.process()
    assert found.ok and data.began() == ["sub-04_desc-brain_mask.txt", "sub-04_fod.txt"]
    assert any("sub-04" in note and "--redo average" in note for note in found.notes)
    data.process(redo=["average"])
    assert data.began()[0] == f"{group_of((0, 1000))}_mean.txt"


def test_some_subjects_wait_for_the_average_which_the_level_group_makes(data):
    found = data.process(participant_label=["01"])
    assert states(found) == {"01": "waiting"} and data.began() == ["sub-01_desc-brain_mask.txt"]
    # An average of some of them has to be asked for.
    assert not data.process("group").changed
    data.process("group", participant_label=["01"])
    assert data.began() == [f"{group_of((0, 1000))}_mean.txt"]
    assert states(data.process(participant_label=["sub-01"])) == {"01": "done"}


def test_a_dry_run_changes_nothing_and_names_what_is_due(data):
    assert states(data.process(dry_run=True)) == dict.fromkeys(SUBJECTS, "due") and not data.out.exists()


def test_a_second_run_on_the_same_folder_is_refused_with_who_is_at_work(data):
    text = data.steps.read_text()
    data.steps.write_text(text.replace("sleep 0.05", "sleep 60"))
    running = data.start()
    try:
        wait_until(lambda: (data.out / ".provision/claim.json").exists())
        with pytest.raises(ProvisionError) as caught:
            data.process()
        assert caught.value.code == "study-busy" and str(running.pid) in str(caught.value)
    finally:
        running.kill()
        running.communicate()
    data.steps.write_text(text)
    assert data.process().ok


def test_an_interrupted_run_leaves_nothing_running_and_the_next_one_resumes(data):
    text, slow = data.steps.read_text(), f"sleep 200.0{os.getpid()}"
    data.steps.write_text(text.replace("sleep 0.05", slow))
    running = data.start()
    wait_until(lambda: data.log.exists())
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 130 and json.loads(said)["error"]["code"] == "interrupted"
    # What was ended may still be on its way out.
    wait_until(lambda: subprocess.run(["pgrep", "-f", slow], capture_output=True).stdout == b"", seconds=60)
    assert not (data.out / ".provision/claim.json").exists() and not list(data.scratch.rglob("step-*"))
    data.steps.write_text(text)
    assert data.process().ok


def test_an_output_folder_that_goes_away_stops_the_run_and_nothing_is_lost(data):
    away = data.out.with_name("away")
    data.process(participant_label=["01"])
    text = data.steps.read_text()
    data.steps.write_text(text.replace("cp {out.fod}", f"sh -c 'mv {data.out} {away}; cp $@' x {{out.fod}}"))
    with pytest.raises(ProvisionError) as caught:
        data.process()
    assert caught.value.code == "study-gone" and not (data.out / "sub-01").exists()
    away.rename(data.out)
    data.steps.write_text(text)
    assert data.process().ok


def test_an_output_folder_that_goes_away_before_the_first_step_is_not_taken_for_an_empty_one(data, monkeypatch):
    data.process()
    data.began()
    settle = scheduler.Scheduler.settle
    monkeypatch.setattr(scheduler.Scheduler, "settle", lambda self: data.out.rename(away) and settle(self))
    away = data.out.with_name("away")
    with pytest.raises(ProvisionError) as caught:
        data.process()
    assert caught.value.code == "study-gone" and data.began() == [] and not data.out.exists()
    monkeypatch.undo()
    away.rename(data.out)
    assert not data.process().changed


def test_an_output_folder_that_cannot_be_made_is_named(data):
    data.out.write_text("a file")
    data.out /= "derivatives"
    with pytest.raises(ProvisionError) as caught:
        data.process()
    assert caught.value.code == "study-folder" and str(data.out.parent) in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"jobs": 1.5}, {"jobs": 0}, {"nthreads": True}, {"mem": float("inf")}, {"redo": "msk"}]
)
def test_a_setting_that_makes_no_sense_is_refused_before_anything_is_written(data, wrong):
    with pytest.raises(OptionError) as caught:
        data.process(**wrong)
    assert caught.value.code == "bad-value" and not data.out.exists()


@pytest.mark.parametrize(
    ("bids", "code"), [("missing", "no-folder"), ("/content/drive/MyDrive/no-such-study", "no-drive")]
)
def test_a_dataset_that_is_not_there_is_named_and_nothing_is_written(data, bids, code):
    data.bids = data.bids.with_name("x") / bids
    with pytest.raises(OptionError) as caught:
        data.process()
    assert caught.value.code == code and str(data.bids) in str(caught.value) and not data.out.exists()


def test_an_output_folder_that_cannot_be_reached_at_the_end_is_no_bug_of_ours(data, monkeypatch):
    def lost(*_, **__):
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN), str(data.out / "failed.tsv"))

    monkeypatch.setattr("provision.study.summary.write", lost)
    with pytest.raises(ProvisionError) as caught:
        data.process()
    assert caught.value.code == "study-gone" and str(data.out) in str(caught.value)
    monkeypatch.undo()
    data.began()
    assert data.process().ok and data.began() == []


def test_a_step_whose_program_is_missing_is_named_before_anything_starts(data):
    data.steps.write_text(data.steps.read_text().replace("cp {out.fod}", "no-such-program {out.fod}"))
    with pytest.raises(ProvisionError) as caught:
        data.process()
    assert caught.value.code == "not-installed" and "no-such-program" in str(caught.value)
    assert data.began() == []


def test_a_program_that_is_missing_is_named_also_where_the_series_lack_an_input(data):
    text = data.steps.read_text().replace("inputs: [dwi, bvec]", "inputs: [dwi, bvec, sidecar]")
    data.steps.write_text(text.replace("sh -c 'echo {out.mask}", "no-such-program '{out.mask}"))
    found = data.process()
    assert {row.error for row in found.failed} == {"it has no sidecar"} and "no-such-program" in found.notes[0]


def test_runs_that_are_killed_at_any_moment_end_each_step_once_and_leave_nothing_half_done(data):
    random.seed(18)
    data.process(dry_run=True)  # what Python compiles once
    began = []
    for number in range(20):
        running = data.start()
        time.sleep(random.uniform(0.3, 1.3))
        # The process alone, as the kernel does it when memory runs out, or with its workers, as a session ends.
        kill = os.kill if number % 2 else os.killpg
        kill(running.pid, signal.SIGKILL)
        running.communicate()
        began += data.began()
        check_whole(data.out)
        if number == 9:  # what has been done by now is all: begin again
            data.add("01", seed=1)
            data.add("02", seed=1)
    assert data.process().ok
    began += data.began()
    check_whole(data.out)
    assert not data.process().changed and data.began() == []
    assert not list(data.scratch.rglob("step-*")) and not list(data.out.rglob("*.part"))
    for subject in SUBJECTS:
        folder = data.out / f"sub-{subject}" / "dwi"
        assert (folder / f"sub-{subject}_fod.txt").read_text() == (folder / f"sub-{subject}_peaks.txt").read_text()


# The last word is what the host is to do. The worker of "two" answers that it is there, and is then gone.
SSH = """#!/bin/sh
for word; do :; done
case "$*" in
*" two exec "*) echo '{"hello": {"cores": 1, "memory": 1000000000}}'; read line; echo Connection reset. >&2; exit 255;;
esac
TMPDIR=ELSEWHERE; export TMPDIR
eval "$word"
"""


@pytest.fixture
def inventory(data, monkeypatch):
    """An inventory of two hosts, and an `ssh` that stays on this machine."""
    place = data.out.with_name("programs")
    place.mkdir()
    elsewhere = data.out.with_name("elsewhere")
    elsewhere.mkdir()
    (place / "ssh").write_text(SSH.replace("ELSEWHERE", str(elsewhere)))
    (place / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    hosts = {name: {"ansible_python_interpreter": sys.executable} for name in ("one", "two")}
    (place / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    return place / "hosts.json"


def test_a_host_that_goes_away_before_the_first_step_is_named_and_the_others_do_all(data, inventory):
    found = data.process(executor=inventory)
    assert found.ok and "two (Connection reset) was not reached, or was lost." in found.notes
    assert len(data.began()) == 7


def test_what_is_kept_between_steps_on_another_host_is_deleted_at_the_end_also_of_a_run_that_is_stopped(
    data, inventory
):
    def stop(_):
        if kept := list(elsewhere.rglob("cache-*")):
            seen.append(kept)
            raise KeyboardInterrupt

    elsewhere, seen = data.out.with_name("elsewhere"), []
    data.steps.write_text(data.steps.read_text().replace("sleep 0.05", "mkdir -p ../cache-x; sleep 0.2"))
    with pytest.raises(KeyboardInterrupt):
        data.process(executor=inventory, scratch=None, progress=stop)
    assert seen and not list(elsewhere.rglob("*-*/*"))
    assert data.process(executor=inventory, scratch=None).ok and not list(elsewhere.rglob("*-*/*"))


@pytest.fixture
def cluster():
    """Two workers of Dask in processes of their own, with a nanny each that replaces one that dies."""
    import distributed

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster


def test_the_workers_of_a_scheduler_do_the_same_and_a_lost_one_costs_one_step(data, cluster):
    first = data.process(executor=cluster.scheduler_address)
    assert first.ok and sorted(data.began()) == sorted(
        [*(f"sub-{each}_{name}.txt" for each in SUBJECTS for name in ("desc-brain_mask", "fod")),
         f"{group_of((0, 1000))}_mean.txt"]
    )  # fmt: skip
    for subject in SUBJECTS:
        data.add(subject, seed=1)
    data.steps.write_text(data.steps.read_text().replace("sleep 0.05", "sleep 1"))
    victim = next(iter(cluster.workers.values())).process.process.pid

    def kill(step):
        if "mask" in step.unit and not killed:
            killed.append(time.sleep(0.3))
            os.kill(victim, signal.SIGKILL)

    killed: list = []
    assert data.process(executor=cluster.scheduler_address, progress=kill).ok and killed
    check_whole(data.out)
    assert not data.process(executor=cluster.scheduler_address).changed


def test_a_stopped_run_deletes_what_it_left_with_the_workers_of_a_scheduler(data, cluster, monkeypatch):
    def stop(step):
        if "mask" in step.unit:
            masks.append(step)
        if len(masks) == 2:  # the first has been handed out by now
            wait_until(lambda: list(data.scratch.rglob("cache-x")))
            raise KeyboardInterrupt

    masks: list = []
    monkeypatch.setattr("provision.study.process.sweep", lambda _: None)  # that of this machine
    data.steps.write_text(data.steps.read_text().replace("sleep 0.05", "mkdir -p ../cache-x; sleep 200"))
    with pytest.raises(KeyboardInterrupt):
        data.process(executor=cluster.scheduler_address, progress=stop)
    wait_until(lambda: not list(data.scratch.rglob("*-*/*")), 60)


def test_a_scheduler_that_does_not_answer_is_named(data, monkeypatch):
    monkeypatch.setattr("provision.study.dask_pool._CONNECT", 1.0)
    with pytest.raises(ProvisionError) as caught:
        data.process(executor="tcp://127.0.0.1:1")
    assert caught.value.code == "no-worker" and "127.0.0.1:1" in str(caught.value)


def check_whole(out: Path) -> None:
    """See that every output has its size, and that every record is that of outputs that are there."""
    for path in out.rglob("*_mask.txt"):
        assert len(path.read_text().split()[0]) == 64
    for path in (out / ".provision/records").rglob("*.json"):
        record = json.loads(path.read_text())
        for files in record["outputs"].values():
            assert all((out / file["path"]).stat().st_size == file["size"] for file in files)
