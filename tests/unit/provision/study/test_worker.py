"""A worker runs a step whole or not at all, and ends with whoever gave it the step."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys

import nibabel
import numpy as np
import pytest
from waiting import wait_until

from provision.study import worker
from provision.study.pool import WORKER


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def out(tmp_path):
    """An output folder that a run has claimed, with an input."""
    (tmp_path / "out" / ".provision").mkdir(parents=True)
    (tmp_path / "out" / ".provision" / "claim.json").write_text("{}")
    (tmp_path / "dwi.txt").write_bytes(b"signal\n")
    return tmp_path / "out"


@pytest.fixture
def process():
    started = subprocess.Popen([sys.executable, "-S", "-E", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert json.loads(started.stdout.readline())["hello"]["cores"] > 0
    yield started
    started.stdin.close()
    assert started.wait(60) == 0
    started.stdout.close()


def task(out, *commands, **more):
    return {
        "call": "run", "id": "sub-01/copy", "out": str(out), "marker": ".provision/claim.json",
        "base": str(out.parent / "scratch"), "key": "study", "inputs": {"dwi": [{"path": str(out.parent / "dwi.txt")}]},
        "outputs": {"mask": "sub-01/dwi/sub-01_mask.txt"}, "commands": [list(command) for command in commands],
        "names": [command[0] for command in commands],
        "threads": 2, "memory": 100, "environment": {"MRTRIX_NTHREADS": "2"}, "scrub": False, "patience": 0.0,
        "record_path": ".provision/records/sub-01/copy.json",
        "record": {"step": "copy", "series": "sub-01", "log": "logs/sub-01_copy.log"}, **more,
    }  # fmt: skip


def send(process, what):
    process.stdin.write((json.dumps(what) + "\n").encode())
    process.stdin.flush()


def done(process, what):
    send(process, what)
    return json.loads(process.stdout.readline())


COPY = ("cp", "{in.dwi}", "{out.mask}")


def scratch_of(out):
    return [path for path in (out.parent / "scratch").rglob("*") if path.is_file() or path.name.startswith("step-")]


def test_a_step_leaves_its_output_its_record_and_its_log_and_nothing_else(out, process):
    answer = done(process, task(out, COPY))
    record = json.loads((out / ".provision/records/sub-01/copy.json").read_text())
    assert answer["state"] == "done" and answer["record"] == record
    (made,) = record["outputs"]["mask"]
    status = (out / made["path"]).stat()
    assert made == {
        "path": "sub-01/dwi/sub-01_mask.txt", "sha256": sha(b"signal\n"), "size": 7, "mtime_ns": status.st_mtime_ns
    }  # fmt: skip
    assert record["inputs"]["dwi"][0]["sha256"] == sha(b"signal\n") and record["threads"] == 2
    assert record["memory"] > 0 and record["seconds"] >= 0
    assert scratch_of(out) == []
    assert {path.name for path in out.rglob("*") if path.is_file()} == {
        "claim.json", "copy.json", "sub-01_mask.txt", "sub-01_copy.log"
    }  # fmt: skip


def test_temporary_files_of_a_command_are_in_the_folder_that_is_deleted_whatever_ends_it(out, process):
    said = 'echo "$TMPDIR" > {out.mask}; test "$TMPDIR" = "$MRTRIX_TMPFILE_DIR" && touch "$TMPDIR/left"'
    assert done(process, task(out, ("sh", "-c", said)))["state"] == "done"
    place = (out / "sub-01/dwi/sub-01_mask.txt").read_text()
    assert place.startswith(str(out.parent / "scratch")) and scratch_of(out) == []


def test_what_a_command_says_first_is_the_reason_and_no_output_gets_its_name(out, process):
    said = "echo start; echo 'x: [ERROR] no shells' >&2; echo 'x: [ERROR] and more' >&2; exit 3"
    answer = done(process, task(out, COPY, ("sh", "-c", said)))
    assert (answer["state"], answer["record"]["command"], answer["record"]["error"]) == ("failed", "sh", "no shells")
    assert not (out / "sub-01").exists() and scratch_of(out) == []
    assert "and more" in (out / "logs/sub-01_copy.log").read_text()


def test_a_folder_whose_name_is_no_utf8_is_as_good_as_any(out, process):
    folder = out.parent / os.fsdecode(b"Universit\xe9")
    folder.mkdir()
    (folder / "dwi.txt").write_bytes(b"signal\n")
    inputs = {"dwi": [{"path": str(folder / "dwi.txt")}]}
    answer = done(process, task(out, COPY, inputs=inputs, base=str(folder)))
    assert answer["state"] == "done"
    assert (out / "logs/sub-01_copy.log").read_bytes().startswith(b"$ cp " + os.fsencode(folder))


def test_a_signal_without_a_name_is_given_by_its_number(out, process):
    answer = done(process, task(out, ("sh", "-c", "kill -40 $$; : {out.mask}")))
    assert answer["state"] == "failed" and "40" in answer["record"]["error"]


def test_an_output_folder_that_takes_no_log_is_not_the_scratch_folders_fault(out, process):
    (out / "logs").touch()
    assert done(process, task(out, COPY))["state"] == "unwritable"


def test_how_long_a_step_takes_does_not_depend_on_the_clock(out, monkeypatch):
    clock = iter(range(10_000, 0, -1000))
    monkeypatch.setattr(worker.time, "time", lambda: next(clock))
    assert worker.run({**task(out), "outputs": {}})["record"]["seconds"] >= 0


def test_text_of_a_file_or_a_step_is_never_run_by_a_shell(out, process):
    nasty = out.parent / "$(touch hacked); touch hacked #.txt"
    nasty.write_bytes(b"x")
    answer = done(process, task(out, COPY, inputs={"dwi": [{"path": str(nasty)}]}))
    assert answer["state"] == "done" and not list(out.parent.rglob("hacked"))


@pytest.mark.parametrize(
    ("commands", "name"),
    [([("true",)], "mask"), ([("sh", "-c", ": > {out.mask}")], "mask"), ([("no-such-program",)], "no-such-program")],
    ids=["unwritten", "empty", "missing"],
)
def test_an_output_that_is_missing_or_empty_or_a_program_that_is_not_there_is_a_failure(out, process, commands, name):
    answer = done(process, task(out, *commands))
    assert answer["state"] == "failed" and name in answer["record"]["error"]


def test_several_files_of_an_input_are_as_many_words(out, process):
    (out.parent / "second.txt").write_bytes(b"more\n")
    files = [{"path": str(out.parent / name)} for name in ("dwi.txt", "second.txt")]
    answer = done(process, task(out, ("sh", "-c", 'cat "$@" > {out.mask}', "sh", "{in.dwi}"), inputs={"dwi": files}))
    assert answer["record"]["outputs"]["mask"][0]["sha256"] == sha(b"signal\nmore\n")


def test_threads_and_the_environment_reach_the_command(out, process):
    answer = done(process, task(out, ("sh", "-c", 'echo {threads} {memory} "$MRTRIX_NTHREADS" > {out.mask}')))
    assert answer["record"]["outputs"]["mask"][0]["sha256"] == sha(b"2 100 2\n")


def test_a_digest_is_computed_again_only_where_size_or_time_of_a_file_differ(out):
    path = out.parent / "dwi.txt"
    known = {"path": str(path), "size": 7, "mtime_ns": path.stat().st_mtime_ns, "sha256": "known"}
    given = {"out": str(out)}
    assert worker.described(given, known)["sha256"] == "known"
    assert worker.described(given, {**known, "mtime_ns": 1})["sha256"] == sha(b"signal\n")


def test_an_output_folder_that_is_gone_is_no_failure_of_the_step_and_is_not_made_anew(out, process):
    away = out.with_name("away")
    said = f"mv {out} {away}; cp {{in.dwi}} {{out.mask}}"
    answer = done(process, task(out, ("sh", "-c", said)))
    assert answer["state"] == "gone" and not out.exists() and scratch_of(away.parent / "out") == []
    assert not list(away.rglob("copy.json"))


def test_a_folder_that_returns_in_time_is_waited_for(out, process):
    away = out.with_name("away")
    left = out.parent / "left"
    (out.parent / "helper.sh").write_text(f"setsid sh -c ': > {left}; sleep 1.5; mv {away} {out}' > /dev/null 2>&1 &\n")
    # The session of the command ends with it: the helper has to leave it first.
    wait = f"until test -e {left}; do sleep 0.05; done"
    said = f"mv {out} {away}; sh {out.parent / 'helper.sh'}; {wait}; cp {{in.dwi}} {{out.mask}}"
    answer = done(process, task(out, ("sh", "-c", said), patience=60.0))
    assert answer["state"] == "done" and (out / "sub-01/dwi/sub-01_mask.txt").exists()


# The second is what FUSE reports of requests that were under way.
@pytest.mark.parametrize("number", [errno.ENOTCONN, errno.ECONNABORTED])
def test_a_drive_that_is_lost_while_its_images_are_copied_is_not_the_scratch_folders_fault(out, monkeypatch, number):
    def lost(path, _):
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(worker, "is_slow", lambda _: True)
    monkeypatch.setattr(worker.shutil, "copyfile", lost)
    answer = worker.answer(task(out, COPY))
    assert answer["state"] == "gone" and "dwi.txt" in answer["error"] and scratch_of(out) == []


def test_a_command_that_failed_because_its_input_changed_is_not_to_blame(out, process):
    answer = done(process, task(out, ("sh", "-c", "echo x >> {in.dwi}; echo '[ERROR] odd'; exit 1")))
    assert answer["state"] == "failed" and "dwi.txt" in answer["record"]["error"]


def test_a_folder_of_inputs_that_is_gone_is_no_failure_of_the_step(out, process):
    (out.parent / "bids").mkdir()
    (out.parent / "bids" / "dwi.txt").write_bytes(b"signal")
    files = {"dwi": [{"path": str(out.parent / "bids" / "dwi.txt")}]}
    answer = done(process, task(out, ("sh", "-c", f"rm -r {out.parent / 'bids'}; exit 1"), inputs=files))
    assert answer["state"] == "gone" and not (out / ".provision/records").exists()


def running(marker):
    found = subprocess.run(["pgrep", "-f", marker], capture_output=True, text=True)
    return [pid for pid in found.stdout.split() if int(pid) != os.getpid()]


def test_a_worker_whose_master_is_gone_stops_its_command_and_sweeps(out, process):
    send(process, task(out, ("sh", "-c", f"sleep 98765.{os.getpid()} & wait; cp {{in.dwi}} {{out.mask}}")))
    wait_until(lambda: running(f"sleep 98765.{os.getpid()}"))
    process.stdin.close()
    assert process.wait(60) == 0
    wait_until(lambda: not running(f"sleep 98765.{os.getpid()}"))
    assert scratch_of(out) == [] and not (out / "sub-01").exists()


def test_a_worker_that_was_taken_for_lost_is_stopped_by_a_sweep_and_records_no_failure(out, process):
    with subprocess.Popen([sys.executable, WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        send(other, task(out, ("sleep", f"98763.{os.getpid()}")))
        wait_until(lambda: running(f"sleep 98763.{os.getpid()}"))
        done(process, {"call": "sweep", "id": "", "base": str(out.parent / "scratch"), "key": "study"})
        assert other.wait(60) == 0 and other.stdout.read() == b""
    assert not running(f"sleep 98763.{os.getpid()}") and scratch_of(out) == []
    assert not (out / ".provision/records").exists() and not (out / "logs").exists()


def test_a_killed_worker_leaves_a_command_that_the_next_sweep_stops(out, process):
    marker = f"sleep 98764.{os.getpid()}"
    other = subprocess.Popen([sys.executable, WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other.stdout.readline()
    send(other, task(out, ("sh", "-c", f"exec {marker}")))
    wait_until(lambda: running(marker))
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert done(process, {"call": "sweep", "id": "", "base": str(out.parent / "scratch"), "key": "study"}) == {"id": ""}
    wait_until(lambda: not running(marker))
    assert scratch_of(out) == []


def test_a_part_that_a_killed_worker_left_beside_an_output_is_deleted(out, process):
    folder = out / "sub-01/dwi"
    folder.mkdir(parents=True)
    (folder / ".sub-01_mask.txt.0123456789ab.part").write_bytes(b"half")
    assert done(process, task(out, COPY))["state"] == "done"
    assert [path.name for path in folder.iterdir()] == ["sub-01_mask.txt"]


def test_a_part_of_a_file_whose_name_goes_on_is_that_files(tmp_path):
    with worker.written_whole(str(tmp_path / "x.gz")) as long, worker.written_whole(str(tmp_path / "x")) as short:
        long.write(b"long")
        short.write(b"short")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x": b"short", "x.gz": b"long"}


def test_an_input_that_datalad_has_not_fetched_is_named_with_how_to_get_it(out, process):
    (out.parent / "dwi.json").symlink_to(".git/annex/objects/xx/yy/gone")
    inputs = {"dwi": [{"path": str(out.parent / "dwi.txt")}], "sidecar": [{"path": str(out.parent / "dwi.json")}]}
    answer = done(process, task(out, COPY, inputs=inputs))
    assert answer["state"] == "failed" and f"datalad get {out.parent}/dwi.json" in answer["record"]["error"]


def test_a_scratch_folder_of_another_user_is_refused(out, process):
    if os.getuid():
        pytest.skip("only root can give a folder away")
    place = out.parent / "scratch" / f"provision-study-{os.geteuid()}"
    place.mkdir(parents=True)
    os.chown(place, 12345, 12345)
    answer = done(process, task(out, COPY))
    assert answer["state"] == "broken" and not (out / "sub-01").exists()


def test_a_full_disk_is_no_failure_of_the_step(out):
    def write():
        raise OSError(errno.ENOSPC, "No space left on device", str(out / "sub-01"))

    with pytest.raises(worker.Full):
        worker.patiently({"out": str(out), "marker": ".provision/claim.json", "patience": 0.0}, write)


MIF = b"mrtrix image\ndim: 2,1,1\nvox: 1,1,1\ncomments: DOE^JANE 01/01/1970\ncommand_history: mrconvert /home/jane/x\n"


def test_scrubbing_takes_names_and_paths_out_of_a_header_and_leaves_the_data_where_they_were(tmp_path):
    header = MIF + b"datatype: UInt8\nfile: . 200\nEND\n"
    (tmp_path / "a.mif").write_bytes(header.ljust(200, b"\0") + b"\x01\x02")
    worker.scrub(str(tmp_path / "a.mif"))
    content = (tmp_path / "a.mif").read_bytes()
    assert b"JANE" not in content and b"jane" not in content
    assert content.startswith(b"mrtrix image\ndim: 2,1,1\n") and b"\nEND\n" in content and content[200:] == b"\x01\x02"


def test_scrubbing_leaves_the_shells_of_a_response_function_and_its_numbers(tmp_path):
    path = tmp_path / "wm.txt"
    path.write_text("# command_history: dwi2response /home/jane/dwi.mif -shells 0,1000\n# Shells: 0,1000\n1 0\n2 -1\n")
    worker.scrub(str(path))
    assert path.read_text() == "# Shells: 0,1000\n1 0\n2 -1\n"


def test_scrubbing_empties_the_text_in_a_nifti_header_and_leaves_the_image(tmp_path):
    for kind, name in ((nibabel.Nifti1Image, "a.nii.gz"), (nibabel.Nifti2Image, "b.nii")):
        image = kind(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.diag([2, 2, 2, 1]))
        texts = [each for each in ("db_name", "descrip", "aux_file") if each in image.header]
        image.header["intent_name"] = "mask"
        for each in texts:
            image.header[each] = "DOE^JANE 19700101"
        nibabel.save(image, tmp_path / name)
        worker.scrub(str(tmp_path / name))
        found = nibabel.load(tmp_path / name)
        assert {each: found.header[each].item() for each in texts} == dict.fromkeys(texts, b"")
        assert found.header["intent_name"].item() == b"mask"
        assert (np.asarray(found.dataobj) == np.asarray(image.dataobj)).all() and (found.affine == image.affine).all()


def test_scrubbing_a_compressed_image_leaves_one_beside_it_that_is_not(tmp_path):
    for name in ("a.nii", "a.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, len(name)), np.int16), np.eye(4)), tmp_path / name)
    worker.scrub(str(tmp_path / "a.nii.gz"))
    assert nibabel.load(tmp_path / "a.nii").shape == (2, 2, 5)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.nii", "a.nii.gz"]


def test_scrubbing_takes_paths_out_of_weights_and_tracks(tmp_path):
    (tmp_path / "weights.csv").write_text("# command_history: tcksift2 /home/jane/t.tck\n0.5 1.5\n")
    worker.scrub(str(tmp_path / "weights.csv"))
    assert (tmp_path / "weights.csv").read_text() == "0.5 1.5\n"
    header = b"mrtrix tracks\nseed_dynamic: /home/jane/wm.mif\ncount: 1\ndatatype: Float32LE\nfile: . 120\nEND\n"
    (tmp_path / "t.tck").write_bytes(header.ljust(120, b"\0") + b"\1\2")
    worker.scrub(str(tmp_path / "t.tck"))
    content = (tmp_path / "t.tck").read_bytes()
    assert b"jane" not in content and b"count: 1\n" in content and content[120:] == b"\1\2"
