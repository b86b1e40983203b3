"""What the store of builds promises to whoever looks into it, and hands builds on."""

import functools
import json
import shlex
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from provision.cli import main
from provision.engine import content
from provision.errors import OptionError, ProvisionError
from provision.machine import places
from provision.machine.store.errors import Unreadable
from provision.machine.store.names import set_aside
from provision.store import builds

from .archive import KEY, UNFINISHED, touch


@pytest.fixture
def served(tmp_path):
    """Serve tmp_path/store and return its URL."""
    with server(functools.partial(QuietFiles, directory=str(tmp_path / "store"))) as url:
        yield url


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


class BreaksOff(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 400)

    def log_message(self, *args):
        pass


@contextmanager
def server(handler):
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def sum_of(path):
    return builds._sum(Path(path), lambda *_: None)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage(path):
    """Change one byte, which a look at the file's size does not show."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def files(folder):
    """Return all there is in a folder, but for the file that packers lock."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in Path(folder).rglob("*") if path.is_file() and path.name != ".lock"
    }  # fmt: skip


def silent(step):
    pass


# Where the code of the roles comes from


def test_the_store_is_loaded_when_it_is_asked_for_and_without_ansible():
    code = """if True:
        import sys, provision
        loaded = lambda: {"provision.store", "ansible", "rich"} & {*sys.modules}
        assert not loaded(), loaded()
        assert "store" in dir(provision)
        assert not provision.store.ls("/nonexistent")
        assert loaded() == {"provision.store"}, loaded()
    """
    subprocess.run([sys.executable, "-c", code], check=True)


# Which folder is meant


def test_the_usual_store_is_that_of_the_roles():
    assert builds.folder() == Path(places.default_store())


def test_a_store_may_be_written_as_in_a_shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert builds.folder("builds") == tmp_path / "builds"
    assert builds.folder("~/builds") == Path("/home/somebody/builds")


@pytest.mark.parametrize(
    ("named", "code"), [("file", "store"), ("", "bad-value"), ("~no-such-user/builds", "no-folder")]
)
def test_what_can_be_no_store_is_refused(tmp_path, monkeypatch, named, code):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    for call in (
        builds.ls,
        builds.verify,
        functools.partial(builds.prune, 0),
        functools.partial(builds.export, KEY, "."),
    ):
        with pytest.raises(OptionError) as refused:
            call(store=named)
        assert refused.value.code == code and named in refused.value.message and refused.value.hint


# ls


@pytest.mark.parametrize("make", [lambda folder: None, Path.mkdir], ids=["missing", "empty"])
def test_a_store_without_builds_is_an_empty_listing(tmp_path, make):
    make(tmp_path / "store")
    found = builds.ls(tmp_path / "store")
    assert list(found) == [] and repr(found) == f"There are no builds in {tmp_path / 'store'}."


def test_each_build_tells_whether_it_runs_here_and_why_not(tmp_path, pack):
    pack()
    pack(release="ubuntu-24.04", glibc="2.39")
    pack(release="debian-11", arch="aarch64")
    pack(release="debian-13", cpu="x86-64-v4")
    told = {build.key: (build.runs_here, build.why_not) for build in builds.ls(tmp_path / "store")}
    assert told == {
        KEY: (True, ""),
        KEY.replace("debian12", "ubuntu24.04"): (False, "it needs glibc 2.39, and this machine has 2.36"),
        KEY.replace("debian12-x86_64", "debian11-aarch64"): (False, "it is for aarch64, and this machine is x86_64"),
        "mrtrix3-3.0.8-debian13-x86_64-x86-64-v4": (False, "it is for x86-64-v4, and this processor is x86-64-v3"),
    }


def test_a_build_tells_what_it_is(tmp_path, pack):
    archive = pack(age=7200)
    (build,) = builds.ls(tmp_path / "store")
    assert (build.tool, build.version, build.path) == ("mrtrix3", "3.0.8", archive)
    assert (build.size, build.sha256) == (archive.stat().st_size, sum_of(archive))
    assert time.time() - build.created == pytest.approx(7200, abs=60)
    archive.with_name(f"{KEY}.json").unlink()
    (alone,) = builds.ls(tmp_path / "store")
    assert (alone.tool, alone.size, alone.runs_here, alone.sha256) == ("mrtrix3", build.size, True, "")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (cut, "it is broken: it ends too early"),
        (lambda path: path.write_text("hello") and path.with_name(f"{KEY}.json").unlink(), "it is broken"),
        (lambda path: path.unlink() or path.with_name(f"{KEY}.json").unlink() or path.mkdir(), "it cannot be read: Is"),
    ],
    ids=["cut off", "no archive", "a folder"],
)
def test_an_archive_that_nobody_can_use_is_listed_with_the_reason(tmp_path, pack, spoil, why):
    spoil(pack())
    (build,) = found = builds.ls(tmp_path / "store")
    assert build.problem.startswith(why) and not build.runs_here and not build.why_not
    assert f"bad\n    {why}" in repr(found) or f"bad: {why}" in repr(found)


# verify


def test_verifying_finds_what_a_look_does_not_and_changes_nothing(tmp_path, pack):
    damage(pack())
    pack(version="3.0.7")
    before = files(tmp_path)
    assert [build.problem for build in builds.ls(tmp_path / "store")] == ["", ""]
    checked = builds.verify(tmp_path / "store", progress=silent)
    assert [build.problem.split(":")[0] for build in checked] == ["", "it is broken"]
    assert not checked.ok and "1 of 2 builds intact" in repr(checked) and not checked[1].runs_here
    assert files(tmp_path) == before


def test_whole_builds_are_ok(tmp_path, pack):
    archive = pack()
    archive.with_name(f"{KEY}.json").unlink()
    checked = builds.verify(tmp_path / "store", progress=silent)
    assert checked.ok and checked.to_dict()["ok"] is True and "  ok\n" in repr(checked)
    assert checked[0].sha256 == sum_of(archive)


def test_long_work_tells_its_bytes(tmp_path, pack):
    archive, steps = pack(), []
    size = archive.stat().st_size
    builds.verify(tmp_path / "store", progress=steps.append)
    assert [step.kind for step in steps[:2]] == ["task", "work"] and steps[-1].kind == "done"
    assert {(step.role, step.task) for step in steps} == {("store", f"Verify {KEY}")}
    assert (steps[-2].number, steps[-2].total, steps[-2].unit) == (size, size, "bytes")


def test_without_a_listener_progress_is_shown_on_standard_error(tmp_path, pack, capsys):
    pack()
    builds.verify(tmp_path / "store")
    assert capsys.readouterr().out == ""


# prune


def test_the_newest_builds_of_each_tool_stay(tmp_path, pack):
    pack(age=300, version="3.0.5")
    pack(age=100, version="3.0.4")
    pack(age=200, version="3.0.6")
    pack(age=900, tool="other")
    before = files(tmp_path / "store")
    done = builds.prune(2, tmp_path / "store")
    assert [build.key.split("-d")[0] for build in builds.ls(tmp_path / "store")] == [
        "mrtrix3-3.0.4", "mrtrix3-3.0.6", "other-3.0.8"
    ]  # fmt: skip
    after = files(tmp_path / "store")
    assert set(before) - set(after) == {KEY.replace("3.0.8", "3.0.5") + end for end in (".json", ".tar.zst")}
    assert done.freed == sum(before.values()) - sum(after.values())
    assert done.deleted == (tmp_path / "store" / f"{KEY.replace('3.0.8', '3.0.5')}.tar.zst",)


def test_copies_of_a_build_count_as_one_and_are_exported_under_its_own_name(tmp_path, pack):
    old, new = pack(age=100, version="3.0.7"), pack()
    shutil.copy(new, new.with_name(f"{KEY} (1).tar.zst"))
    assert [build.problem for build in builds.ls(tmp_path / "store")] == ["", "", ""]
    assert builds.prune(2, tmp_path / "store").deleted == () and old.exists()
    (tmp_path / "usb").mkdir()
    new.unlink()
    exported = builds.export(f"{KEY} (1)", tmp_path / "usb", tmp_path / "store", progress=silent)
    assert exported.path == tmp_path / "usb" / f"{KEY}.tar.zst"
    assert [build.key for build in builds.ls(tmp_path / "usb")] == [KEY]


def test_pruning_deletes_what_stands_beside_a_bad_file_too(tmp_path, pack):
    archive = pack()
    set_aside(str(archive))
    assert set(files(tmp_path / "store")) == {f"{KEY}.tar.zst.bad", f"{KEY}.json.bad"}
    builds.prune(1, tmp_path / "store")
    assert files(tmp_path / "store") == {}


def test_keeping_none_deletes_all_builds(tmp_path, pack):
    pack()
    pack(tool="other")
    builds.prune(0, tmp_path / "store")
    assert files(tmp_path / "store") == {}


def test_what_is_of_no_use_to_anybody_is_deleted_and_nothing_else(tmp_path):
    folder = tmp_path / "store"
    useless = [
        touch(folder / "x.tar.zst.bad", 0, 10),
        touch(folder / ".new-killed", 2, 20),
        touch(folder / "unfinished" / UNFINISHED / "0001.tar.zst", 8, 30),
        touch(folder / "unfinished" / UNFINISHED / ".new-killed", 8, 40),
    ]
    useful = [
        touch(folder / "bad.txt.bad", 99),
        touch(folder / ".new-packing", 0.5),
        touch(folder / "unfinished" / "mrtrix3-b" / "0001.tar.zst", 8),
        touch(folder / "unfinished" / "mrtrix3-b" / "0002.tar.zst", 6),
        touch(folder / "unfinished" / "of-somebody-else" / "novel.txt", 99),
        touch(folder / "sources" / "old.tar.zst", 99),
    ]
    done = builds.prune(3, folder)
    assert [path.exists() for path in useless] == [False] * 4
    assert [path.exists() for path in useful] == [True] * 6
    assert done.freed == 100
    assert set(done.deleted) == {useless[0], useless[1], folder / "unfinished" / UNFINISHED}
    assert not (folder / "unfinished" / UNFINISHED).exists()
    assert "deleted unfinished/" in repr(done) and "100 B freed" in repr(done)


def test_a_file_of_somebody_else_beside_an_unfinished_build_stays(tmp_path):
    build = tmp_path / "store" / "unfinished" / UNFINISHED
    touch(build / "0001.tar.zst", 8)
    novel = touch(build / "novel.txt", 99)
    builds.prune(0, tmp_path / "store")
    assert list(build.iterdir()) == [novel]


def test_an_archive_that_nobody_can_use_neither_counts_nor_goes(tmp_path, pack):
    pack(age=100, version="3.0.7")
    cut(pack())
    done = builds.prune(1, tmp_path / "store")
    assert len(builds.ls(tmp_path / "store")) == 2
    assert [build.key for build in done.left_alone] == [KEY] and done.deleted == ()
    assert f"kept {KEY}.tar.zst - bad: it is broken" in repr(done) and "nothing to delete" in repr(done)


@pytest.mark.parametrize("keep", [-1, "2", 1.5, True, None])
def test_a_number_to_keep_that_is_none_deletes_nothing(tmp_path, pack, keep):
    pack()
    before = files(tmp_path)
    with pytest.raises(OptionError) as refused:
        builds.prune(keep, tmp_path / "store")
    assert refused.value.code == "bad-value" and repr(keep) in refused.value.message and files(tmp_path) == before


def test_there_may_be_no_store_to_prune(tmp_path):
    assert builds.prune(0, tmp_path / "store").deleted == () and not (tmp_path / "store").exists()


def test_conda_packages_that_no_lock_lists_are_pruned_and_nothing_else(tmp_path):
    folder = tmp_path / "store/packages"
    folder.mkdir(parents=True)
    lock = json.loads((content.root() / "roles/ants/files/conda.lock.json").read_text("utf-8"))
    listed, old = f"{lock['packages'][0]['sha256']}.conda", "0" * 64
    for name in (listed, f"{old}.conda", f"{old}.tar.bz2.part", "mine.conda"):
        (folder / name).write_bytes(b"12345")
    assert builds.prune(1, tmp_path / "store").freed == 10
    assert sorted(path.name for path in folder.iterdir()) == sorted([listed, "mine.conda"])
    builds.prune(0, tmp_path / "store")
    assert [path.name for path in folder.iterdir()] == ["mine.conda"]


# export


def test_a_folder_that_builds_were_exported_to_is_a_store(tmp_path, pack):
    archive = pack()
    (tmp_path / "usb").mkdir()
    done = builds.export(KEY, tmp_path / "usb", tmp_path / "store", progress=silent)
    assert done.path == tmp_path / "usb" / archive.name and done.path.read_bytes() == archive.read_bytes()
    assert (done.size, done.sha256) == (archive.stat().st_size, sum_of(archive))
    (there,) = builds.ls(tmp_path / "usb")
    assert there.sha256 == done.sha256 and builds.verify(tmp_path / "usb", progress=silent).ok
    assert done.path.stat().st_mode & 0o777 == 0o644


def test_a_build_can_be_exported_as_a_file_of_any_name(tmp_path, pack):
    archive = pack()
    (tmp_path / "usb").mkdir()
    builds.export(KEY, tmp_path / "usb" / "build.tar.zst", tmp_path / "store", progress=silent)
    assert files(tmp_path / "usb") == {"build.tar.zst": archive.stat().st_size}


@pytest.mark.parametrize("written", [KEY, f"{KEY}.tar.zst", KEY[:-3], "mrtrix3-3.0.8"])
def test_a_build_may_be_named_by_a_beginning_that_is_no_others(tmp_path, pack, written):
    pack()
    pack(version="3.0.7")
    assert builds.export(written, tmp_path, tmp_path / "store", progress=silent).version == "3.0.8"


def test_a_whole_name_is_meant_even_where_others_begin_like_it(tmp_path, pack):
    pack()
    pack(cpu="x86-64")
    done = builds.export(KEY.removesuffix("-v3"), tmp_path, tmp_path / "store", progress=silent)
    assert done.path.name == "mrtrix3-3.0.8-debian12-x86_64-x86-64.tar.zst"


@pytest.mark.parametrize(
    ("written", "code", "nearest"),
    [
        ("mrtrix3-3.0", "ambiguous", ""),
        ("mrtrx3-3.0.8", "no-build", "'mrtrix3-3.0.8'"),
        (KEY.replace("v3", "v2"), "no-build", f"'{KEY}'"),
    ],
)
def test_a_name_that_is_no_builds_tells_which_there_are(tmp_path, pack, written, code, nearest):
    pack()
    pack(version="3.0.7")
    with pytest.raises(OptionError) as refused:
        builds.export(written, tmp_path, tmp_path / "store")
    assert refused.value.code == code and f"'{written}'" in refused.value.message
    assert nearest in refused.value.hint and f"{KEY.replace('8-', '7-', 1)}, {KEY}." in refused.value.hint


def test_nothing_can_be_exported_from_an_empty_store(tmp_path):
    with pytest.raises(OptionError) as refused:
        builds.export(KEY, tmp_path, tmp_path / "store")
    assert refused.value.code == "no-build" and str(tmp_path / "store") in refused.value.message


def test_another_file_is_not_overwritten_and_the_same_is_no_mistake(tmp_path, pack):
    pack()
    target = tmp_path / "build.tar.zst"
    target.write_text("precious")
    with pytest.raises(OptionError) as refused:
        builds.export(KEY, target, tmp_path / "store", progress=silent)
    assert refused.value.code == "file-exists" and str(target) in refused.value.message
    assert target.read_text() == "precious"
    target.unlink()
    for _ in range(2):
        builds.export(KEY, target, tmp_path / "store", progress=silent)


@pytest.mark.parametrize(
    ("dest", "code"), [("usb", "no-folder"), ("usb/build.tar.zst", "no-folder"), ("", "bad-value")]
)
def test_a_folder_that_is_not_there_is_not_made_up(tmp_path, pack, monkeypatch, dest, code):
    pack()
    monkeypatch.chdir(tmp_path)
    before = files(tmp_path)
    with pytest.raises(OptionError) as refused:
        builds.export(KEY, dest, "store")
    assert refused.value.code == code and files(tmp_path) == before


def test_a_broken_build_is_not_handed_on(tmp_path, pack):
    damage(pack())
    (tmp_path / "usb").mkdir()
    with pytest.raises(ProvisionError) as refused:
        builds.export(KEY, tmp_path / "usb", tmp_path / "store", progress=silent)
    assert refused.value.code == "bad-archive" and KEY in refused.value.message
    assert files(tmp_path / "usb") == {}


def test_a_copy_that_cannot_be_read_back_gets_no_name(tmp_path, pack, monkeypatch):
    pack()
    (tmp_path / "usb").mkdir()
    monkeypatch.setattr(builds, "_sum", lambda path, tell: "0" * 64)
    with pytest.raises(ProvisionError) as refused:
        builds.export(KEY, tmp_path / "usb", tmp_path / "store", progress=silent)
    assert refused.value.code == "store" and str(tmp_path / "usb") in refused.value.message
    assert files(tmp_path / "usb") == {}


def test_the_lines_for_somebody_else_work(tmp_path, pack, monkeypatch, capsys):
    pack()
    (tmp_path / "usb").mkdir()
    done = builds.export(KEY, tmp_path / "usb" / "my build.tar.zst", tmp_path / "store", progress=silent)
    take, run = (shlex.split(line)[1:] for line in done.commands)
    assert all(line in repr(done) for line in done.commands) and done.to_dict()["commands"] == done.commands
    monkeypatch.chdir(tmp_path / "usb")
    assert main.main([*take, "--store", str(tmp_path / "theirs")]) == 0
    assert [build.key for build in builds.ls(tmp_path / "theirs")] == [KEY]
    asked = {}
    monkeypatch.setattr("provision.run", lambda *roles, **options: asked.update(options, roles=roles))
    assert main.main(run) == 0
    assert asked["roles"] == ("mrtrix3",) and asked["mrtrix3_version"] == "3.0.8"
    assert (asked["mrtrix3_archive"], asked["mrtrix3_archive_sha256"]) == ("my build.tar.zst", done.sha256)


# import


@pytest.mark.parametrize("how", ["path", "relative", "file URL", "http URL"])
def test_a_build_from_elsewhere_gets_the_name_of_its_manifest(tmp_path, pack, served, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    archive = pack()
    sha256 = sum_of(archive)
    archive = archive.rename(tmp_path / "store" / "my build.tar.zst")
    source = {
        "path": archive,
        "relative": "store/my build.tar.zst",
        "file URL": archive.as_uri(),
        "http URL": f"{served}/my%20build.tar.zst",
    }[how]
    steps = []
    build = builds.import_(source, sha256.upper(), tmp_path / "theirs", progress=steps.append)
    assert (build.key, build.runs_here, build.sha256) == (KEY, True, sha256)
    assert set(files(tmp_path / "theirs")) == {f"{KEY}.tar.zst", f"{KEY}.json"}
    assert builds.verify(tmp_path / "theirs", progress=silent).ok
    last = [step for step in steps if step.kind == "work"][-1]
    assert last.number == last.total == build.size and last.unit == "bytes"


def test_a_build_that_does_not_run_here_can_be_taken_all_the_same(tmp_path, pack):
    archive = pack(glibc="2.39")
    build = builds.import_(archive, sum_of(archive), tmp_path / "theirs", progress=silent)
    assert not build.runs_here and "runs here: no: it needs glibc 2.39" in str(build)


@pytest.mark.parametrize("where", ["path", "URL"])
def test_another_sum_is_told_with_the_one_expected_and_leaves_nothing(tmp_path, pack, served, where):
    archive = pack()
    source = archive if where == "path" else f"{served}/{archive.name}"
    with pytest.raises(ProvisionError) as refused:
        builds.import_(source, "0" * 64, tmp_path / "theirs", progress=silent)
    assert refused.value.code == "wrong-checksum" and refused.value.hint
    assert sum_of(archive) in refused.value.message and "0" * 64 in refused.value.message
    assert files(tmp_path / "theirs") == {}


@pytest.mark.parametrize("sha256", ["", "abc", "x" * 64, "0" * 65, "0" * 64 + "\n", None])
def test_what_is_no_sum_is_refused_before_anything_is_fetched(tmp_path, sha256):
    with pytest.raises(OptionError) as refused:
        builds.import_(tmp_path / "missing", sha256, tmp_path / "theirs")
    assert refused.value.code == "bad-value" and repr(sha256) in refused.value.message


@pytest.mark.parametrize(
    ("spoil", "code"),
    [(cut, "cut-off"), (damage, "bad-archive"), (lambda path: path.write_text("hello"), "bad-archive")],
)
def test_a_broken_archive_is_not_taken_even_with_its_sum(tmp_path, pack, spoil, code):
    archive = pack()
    spoil(archive)
    with pytest.raises(ProvisionError) as refused:
        builds.import_(archive, sum_of(archive), tmp_path / "theirs", progress=silent)
    assert refused.value.code == code
    assert files(tmp_path / "theirs") == {}


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("missing.tar.zst", "no-file"), ("file:///nonexistent/a", "no-file"), ("", "bad-value"), (".", "not-a-file"),
        ("ftp://host/a", "bad-url"), ("http://me:sesame@host/a", "bad-url"),
    ],
)  # fmt: skip
def test_a_source_that_can_be_none_is_refused(tmp_path, monkeypatch, source, code):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError) as refused:
        builds.import_(source, "0" * 64, "theirs", progress=silent)
    assert refused.value.code == code and refused.value.hint and not Path("theirs").exists()
    assert "sesame" not in str(refused.value)


def test_a_server_that_does_not_have_it_is_told_in_a_sentence_without_secrets(tmp_path, served):
    with pytest.raises(ProvisionError) as failed:
        builds.import_(f"{served}/none?signature=sesame", "0" * 64, tmp_path / "theirs", progress=silent)
    assert failed.value.code == "http-error" and f"{served}/none" in failed.value.message
    assert " 404 " in failed.value.message
    assert "sesame" not in str(failed.value) and not (tmp_path / "theirs").exists()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a", "http:///a", "https://a b/c", "http://[::1/a", "http://h:x/a"])
def test_a_server_that_cannot_be_reached_is_told_in_a_sentence(tmp_path, url):
    with pytest.raises(ProvisionError) as failed:
        builds.import_(url, "0" * 64, tmp_path / "theirs", progress=silent)
    assert failed.value.code == "unreachable" and not (tmp_path / "theirs").exists()


def test_a_download_that_breaks_off_leaves_nothing(tmp_path):
    with server(BreaksOff) as url, pytest.raises(ProvisionError) as failed:
        builds.import_(f"{url}/a", "0" * 64, tmp_path / "theirs", progress=silent)
    assert failed.value.code == "cut-off" and "400" in failed.value.message and "1000" in failed.value.message
    assert files(tmp_path / "theirs") == {}


def test_an_interrupted_download_leaves_nothing(tmp_path, pack, served):
    archive, steps = pack(), []

    def interrupt(step):
        steps.append(step)
        if step.kind == "work":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builds.import_(f"{served}/{archive.name}", sum_of(archive), tmp_path / "theirs", progress=interrupt)
    assert files(tmp_path / "theirs") == {}
    assert steps[-1].kind == "done" and steps[-1].failed


# What can go wrong with the store itself


def test_a_store_that_cannot_be_read_is_told_with_what_to_do(tmp_path, monkeypatch):
    def fail(path):
        raise Unreadable("It is gone.", "Mount it.")

    monkeypatch.setattr("provision.machine.store.names.archives", fail)
    for call in (builds.ls, builds.verify, functools.partial(builds.prune, 1)):
        with pytest.raises(ProvisionError) as failed:
            call(store=tmp_path)
        assert (failed.value.code, str(failed.value)) == ("store-unreadable", "It is gone. Mount it.")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(13, "Permission denied", "/store/x"), "not-permitted"),
        (OSError(28, "No space left on device"), "disk-full"),
    ],
)
def test_a_store_that_cannot_be_written_to_is_told_with_what_to_do(tmp_path, pack, monkeypatch, error, code):
    archive = pack()

    def fail(*args, **options):
        raise error

    monkeypatch.setattr(builds.tempfile, "mkstemp", fail)
    monkeypatch.setattr(Path, "unlink", fail)
    (tmp_path / "usb").mkdir()
    for call in (
        functools.partial(builds.prune, 0, tmp_path / "store"),
        functools.partial(builds.export, KEY, tmp_path / "usb", tmp_path / "store", progress=silent),
        functools.partial(builds.import_, archive, sum_of(archive), tmp_path / "theirs", progress=silent),
    ):
        with pytest.raises(ProvisionError) as failed:
            call()
        assert failed.value.code == code and failed.value.message.endswith(".") and failed.value.hint
        assert "Errno" not in failed.value.message
    assert files(tmp_path / "usb") == {}


def test_a_folder_that_cannot_be_written_to_is_named_by_its_own_name(tmp_path, pack, monkeypatch):
    pack()

    def fail(prefix, dir):
        raise PermissionError(13, "Permission denied", f"{dir}/{prefix}drawn")

    monkeypatch.setattr(builds.tempfile, "mkstemp", fail)
    with pytest.raises(ProvisionError) as failed:
        builds.export(KEY, tmp_path, tmp_path / "store", progress=silent)
    assert failed.value.code == "not-permitted"
    assert str(tmp_path) in failed.value.message and "drawn" not in failed.value.message


def test_a_build_that_is_deleted_meanwhile_is_no_error(tmp_path, pack, monkeypatch):
    archive = pack()
    found = builds.ls(tmp_path / "store")
    archive.unlink()
    monkeypatch.setattr(builds, "ls", lambda folder: found)
    assert builds.prune(0, tmp_path / "store").deleted == (archive,)
