"""Runs the steps of a study, one at a time, as a process of its own: a task per line on standard input, an answer each.

It is sent to other machines as it is, so it imports the standard library alone and runs on Python 3.9. When its
standard input ends, whoever gave the tasks is gone: it stops its command, deletes its scratch folder and ends.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import json
import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time

# What a file system reports while the program or the server behind it is gone, or as it goes.
_GONE = {
    errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENODEV, errno.EHOSTDOWN,
    errno.EREMOTEIO,
}  # fmt: skip
_FULL = {errno.ENOSPC, errno.EDQUOT}
_LEAST = 1 << 20  # bytes; with less, a command that failed did so for want of space
# File systems on which many small reads are slow, or that may drop: their files are copied once.
_SLOW = re.compile(r"fuse(\..*)?|cifs|smb3|9p|drvfs")
_PIECE = 1 << 20
_GRACE = 5.0  # seconds that a command has to delete its own scratch folders
_PAUSE = 1.0  # seconds between two looks for a folder that is gone
_PLACE = re.compile(r"\{(in|out)\.(\w+)\}|\{(threads|memory)\}")
# What MRtrix3 writes into headers, and text files, about who was measured and where the files were.
_PRIVATE = re.compile(
    rb"(?:comments|command_history|command_line|roi|source|prior_roi|PatientName|PatientID|PatientBirthDate)\s*[:=]",
    re.I,
)
_SHELLS = re.compile(rb"#\s*shells\b", re.I)


class Gone(Exception):
    """The input or the output folder cannot be reached; nothing is wrong with the step."""


class Full(Exception):
    """There is no space left; nothing is wrong with the step."""


class Failed(Exception):
    """A command failed."""

    def __init__(self, command, error):
        super().__init__(error)
        self.command = command


class Stopped(BaseException):
    """Nobody waits for the answer any more."""


def main():
    """Take tasks until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to whoever gave the tasks
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _woken[:] = os.pipe()
    for end_of_pipe in _woken:
        os.set_blocking(end_of_pipe, False)
    signal.set_wakeup_fd(_woken[1])
    tell({"hello": {"host": socket.gethostname(), "cores": len(os.sched_getaffinity(0)), "memory": free_memory()}})
    with contextlib.suppress(Stopped):
        while True:
            select.select([0], [], [])
            line = read_line()
            if line:
                tell(answer(json.loads(line)))


def _stop(*_):
    raise Stopped


def tell(what):
    """Write one line; whoever reads it may be gone."""
    try:
        os.write(1, (json.dumps(what) + "\n").encode())
    except OSError:
        raise Stopped from None


_read = bytearray()
_woken = [-1, -1]  # a pipe that gets a byte when a command has ended


def read_line():
    """Return the next line of standard input, None if it is not complete yet."""
    if b"\n" not in _read:
        more = os.read(0, _PIECE)
        if not more:
            raise Stopped
        _read.extend(more)
    line, end, rest = bytes(_read).partition(b"\n")
    if not end:
        return None
    _read[:] = rest
    return line


def answer(task):
    """Do what a task says and return what to answer."""
    call = {"run": run, "programs": programs, "sweep": sweep, "command": command}[task["call"]]
    try:
        return {"id": task["id"], **call(task)}
    except Gone as error:
        return {"id": task["id"], "state": "gone", "error": str(error)}
    except Full as error:
        return {"id": task["id"], "state": "full", "error": str(error)}
    except Failed as error:  # neither the log nor the record could be written
        return {"id": task["id"], "state": "unwritable", "error": str(error)}
    except OSError as error:  # of the scratch folder
        return {"id": task["id"], "state": "full" if error.errno in _FULL else "broken", "error": str(error)}


# Before the first step


def programs(task):
    """Return which programs are missing, and which folders this machine does not have."""
    missing = [name for name in task["programs"] if shutil.which(name) is None]
    absent = [path for path in task["folders"] if not os.path.isdir(path)]
    versions = {name: version(argv) for name, argv in task["versions"].items() if shutil.which(argv[0])}
    return {"missing": missing, "absent": absent, "versions": versions}


def version(argv):
    """Return the first version number in what a command prints."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    found = re.search(rb"\d+(?:\.\d+)+[\w.+-]*", done.stdout + done.stderr)
    return found.group().decode() if found else ""


def sweep(task):
    """Delete what a run, or a lost worker, left in the scratch folder, after stopping what still runs in it."""
    folder = os.path.realpath(scratch_folder(task["base"], task["key"]))
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder):
            # Before its command: the worker would take that for a failure of the step.
            number = re.match(r"step-(\d+)-", entry)
            if number and is_worker(int(number[1])):
                os.kill(int(number[1]), signal.SIGTERM)
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and (os.readlink(f"/proc/{entry}/cwd") + os.sep).startswith(folder + os.sep):
                os.kill(int(entry), signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    return {}


def is_worker(number):
    """Return whether a process is another worker, started from this file or with its text."""
    with contextlib.suppress(OSError), open(f"/proc/{number}/cmdline", "rb") as file:
        line = file.read()
        return number != os.getpid() and (b"/study/worker.py" in line or b"provision-study-" in line)
    return False


def command(task):
    """Run a command that is no step; return its exit code."""
    with tempfile.TemporaryFile() as log:
        try:
            return {"code": waited(task["argv"], None, {**os.environ, **task["environment"]}, log)[0]}
        except Failed as error:
            return {"code": 127, "error": str(error)}


# One step


def run(task):
    """Run a step: commands in a scratch folder, outputs into their place, then its record."""
    started = time.monotonic()
    folder, used = made_folder(task), {"memory": 0}
    try:
        record = {**task["record"], "host": socket.gethostname(), "threads": task["threads"], "inputs": {}}
        record["started"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        try:
            record["inputs"] = patiently(task, lambda: marked(task))
            commands = patiently(task, lambda: filled(task, folder))
            record["commands"] = commands
            compute(task, commands, folder, used)
            made = finished(task, folder)
            record["outputs"] = patiently(task, lambda: placed(task, made))
            record["state"] = "done"
        except Failed as error:
            reason = why(task, record["inputs"], error)
            record.update(state="failed", command=error.command, error=reason, outputs={})
        record.update(seconds=round(time.monotonic() - started, 2), memory=used["memory"])
        patiently(task, lambda: kept_log(task, folder))
        content = json.dumps(record, indent=1).encode()
        patiently(task, lambda: write_whole(in_place(task, task["record_path"]), content))
        return {"state": record["state"], "record": record}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scratch_folder(base, key):
    """Return the scratch folder of a study on this machine."""
    return os.path.join(base or tempfile.gettempdir(), f"provision-study-{os.geteuid()}", key)


def made_folder(task):
    """Make a folder for a step in the scratch folder, which nobody else may write to."""
    scratch = scratch_folder(task["base"], task["key"])
    os.makedirs(scratch, mode=0o700, exist_ok=True)
    for place in (os.path.dirname(scratch), scratch):
        status = os.lstat(place)
        if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
            raise PermissionError(errno.EPERM, "is not a folder of this user", place)
    return tempfile.mkdtemp(prefix=f"step-{os.getpid()}-", dir=scratch)


def patiently(task, what):
    """Call a function; where its folder is gone, wait for it to return."""
    end = time.monotonic() + task["patience"]
    while True:
        try:
            if not os.path.isfile(os.path.join(task["out"], task["marker"])):
                raise Gone("The output folder {} is gone".format(task["out"]))
            return what()
        except Gone as error:
            reason = error
        except OSError as error:
            if error.errno == errno.ENOENT and error.filename and os.path.islink(error.filename):
                name = os.path.basename(error.filename)
                raise Failed("", f"The content of {name} is missing: run 'datalad get {error.filename}'") from None
            if error.errno in _FULL:
                raise Full("There is no space left for {}".format(error.filename or task["out"])) from None
            if not is_gone(error):
                raise Failed("", f"{error.filename or ''}: {error.strerror}".lstrip(": ")) from None
            reason = Gone(f"{error.filename or 'A folder'} is gone: {error.strerror}")
        if time.monotonic() > end:
            raise reason
        if select.select([0], [], [], _PAUSE)[0] and peek_end():
            raise Stopped


def is_gone(error):
    """Return whether an error of the system means that a whole folder cannot be reached."""
    lost = error.errno == errno.ENOENT and error.filename and not os.path.isdir(os.path.dirname(error.filename))
    return lost or error.errno in _GONE


def peek_end():
    """Return whether standard input has ended; what came is kept."""
    more = os.read(0, _PIECE)
    _read.extend(more)
    return not more


def marked(task):
    """Return the inputs with size, time of change and digest; the digest is known where neither of the two changed."""
    return {name: [described(task, known) for known in files] for name, files in task["inputs"].items()}


def described(task, known):
    """Return what is recorded of a file."""
    path = in_place(task, known["path"])
    status = os.stat(path)
    mark = {"path": known["path"], "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    same = all(known.get(key) == mark[key] for key in ("size", "mtime_ns"))
    return {**mark, "sha256": (same and known.get("sha256")) or digest(path)}


def why(task, inputs, error):
    """Return why a step failed: a command may have failed because an input went away or changed under it."""
    try:
        patiently(task, lambda: still_there(task, inputs))
    except Failed as other:
        return str(other)
    return str(error)


def still_there(task, inputs):
    """Raise an error unless the inputs are what they were."""
    for known in (file for files in inputs.values() for file in files):
        status = os.stat(in_place(task, known["path"]))
        if (status.st_size, status.st_mtime_ns) != (known["size"], known["mtime_ns"]):
            raise Failed("", "{} changed while the step ran".format(known["path"]))


def in_place(task, path):
    """Return a path, below the output folder unless it is absolute."""
    return os.path.join(task["out"], path)


def digest(path):
    """Return the SHA-256 of a file."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(_PIECE), b""):
            found.update(piece)
    return found.hexdigest()


def filled(task, folder):
    """Return the commands with the names of files instead of their placeholders."""
    values = {("in", name): [local(task, file["path"]) for file in files] for name, files in task["inputs"].items()}
    for name, path in task["outputs"].items():
        values["out", name] = [os.path.join(folder, os.path.basename(path))]
    plain = {"threads": str(task["threads"]), "memory": str(task["memory"])}

    def expanded(word):
        whole = _PLACE.fullmatch(word)
        if whole and whole[1]:
            return values[whole[1], whole[2]]
        return [_PLACE.sub(lambda found: plain[found[3]] if found[3] else values[found[1], found[2]][0], word)]

    return [[part for word in command for part in expanded(word)] for command in task["commands"]]


def local(task, path):
    """Return the path of an input: of its copy in the scratch folder, if it is on a slow file system."""
    path = in_place(task, path)
    if not is_slow(path):
        return path
    status = os.stat(path)
    key = hashlib.sha256(repr((path, status.st_size, status.st_mtime_ns)).encode()).hexdigest()[:16]
    copy = os.path.join(
        scratch_folder(task["base"], task["key"]), "cache-" + task["record"]["series"], key, os.path.basename(path)
    )
    if not os.path.exists(copy):
        os.makedirs(os.path.dirname(copy), mode=0o700, exist_ok=True)
        part = f"{copy}.{os.getpid()}.part"  # other steps may copy it, too
        shutil.copyfile(path, part)
        os.replace(part, copy)
    return copy


_kinds: dict[int, bool] = {}


def is_slow(path):
    """Return whether a file is on a file system over a network or a program."""
    device = os.stat(path).st_dev
    if device not in _kinds:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                before, _, after = line.partition(" - ")
                major, minor = map(int, before.split()[2].split(":"))
                _kinds[os.makedev(major, minor)] = bool(_SLOW.fullmatch(after.split()[0]))
    return _kinds.get(device, False)


def compute(task, commands, folder, used):
    """Run the commands in the scratch folder, with their output in the log there."""
    # A command that is killed leaves its own temporary files, and the folder is deleted in any case.
    temporary = {"TMPDIR": folder, "MRTRIX_TMPFILE_DIR": folder}
    environment = {**os.environ, **task["environment"], **temporary}
    with open(os.path.join(folder, "log.txt"), "ab") as log:
        for name, argv in zip(task["names"], commands):
            log.write("$ {}\n".format(" ".join(argv)).encode(errors="surrogateescape"))
            log.flush()
            start = log.tell()
            code, memory = waited(argv, folder, environment, log)
            used["memory"] = max(used["memory"], memory)
            if code:
                check_space(folder)
                raise Failed(name, reason(os.path.join(folder, "log.txt"), start, name, code))


def check_space(folder):
    """Raise an error if a folder is full."""
    found = os.statvfs(folder)
    if found.f_bavail * found.f_frsize < _LEAST:
        raise Full(f"There is no space left for {os.path.dirname(folder)}")


def waited(argv, folder, environment, log):
    """Run a command in a session of its own; return its exit code and the memory of its largest process, in bytes."""
    try:
        process = subprocess.Popen(
            argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    except OSError as error:
        raise Failed(argv[0], f"{argv[0]} could not be started: {error.strerror}") from None
    try:
        while True:
            found, status, usage = os.wait4(process.pid, os.WNOHANG)
            if found:
                process.returncode = os.waitstatus_to_exitcode(status)
                return process.returncode, usage.ru_maxrss * 1024
            # Standard input is watched meanwhile: its end is the end of whoever waits for this.
            ready = select.select([_woken[0], 0], [], [])[0]
            if 0 in ready and peek_end():
                raise Stopped
            with contextlib.suppress(BlockingIOError):
                os.read(_woken[0], _PIECE)
    finally:
        end(process)


def end(process):
    """Stop what a command started and left running, or the command itself."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        if process.returncode is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)


def reason(log, start, command, code):
    """Return why a command failed: the first line in which it says so, else its last one."""
    with open(log, "rb") as file:
        file.seek(start)
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    said = next((line.partition("[ERROR]")[2].strip() for line in lines if "[ERROR]" in line), "")
    if code < 0:
        number = -code  # one for real time has no name
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        lack = ": the machine may have run out of memory" if -code == signal.SIGKILL else ""
        return f"{command} was stopped by {name}{lack}"
    return said or (lines[-1] if lines else f"{command} ended with exit code {code}")


def finished(task, folder):
    """Return the path of each output in the scratch folder."""
    made = {name: os.path.join(folder, os.path.basename(path)) for name, path in task["outputs"].items()}
    for name, path in made.items():
        if not os.path.isfile(path) or not os.path.getsize(path):
            raise Failed("", f"No command wrote the output '{name}' ({os.path.basename(path)})")
        if task["scrub"]:
            scrub(path)
    return made


def placed(task, made):
    """Move the outputs into their places, each whole, and return what is recorded of them."""
    return {name: [move(task, path, task["outputs"][name])] for name, path in made.items()}


def move(task, source, path):
    """Copy a file under a temporary name, then rename it; return what is recorded of it."""
    target, found = in_place(task, path), hashlib.sha256()
    with open(source, "rb") as file, written_whole(target) as copy:
        for piece in iter(lambda: file.read(_PIECE), b""):
            found.update(piece)
            copy.write(piece)
    status = os.stat(target)
    mark = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    return {"path": path, **mark, "sha256": found.hexdigest()}


@contextlib.contextmanager
def written_whole(path, sync=True):
    """Yield a file that gets its name when it is complete; what others have left of it is deleted."""
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    for other in os.listdir(folder):
        # A worker that was taken for lost may still write one: it cannot rename it any more.
        if re.fullmatch(re.escape(f".{name}.") + r"[0-9a-f]{12}\.part", other):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, other))
    part = os.path.join(folder, f".{name}.{os.urandom(6).hex()}.part")
    try:
        with open(part, "xb") as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(part)


def write_whole(path, content):
    """Write a file completely or not at all, without waiting for the disk: without its record a step is done again."""
    with written_whole(path, sync=False) as file:
        file.write(content)


def kept_log(task, folder):
    """Copy the log to the output folder."""
    with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, "log.txt"), "rb") as file:
        write_whole(in_place(task, task["record"]["log"]), file.read().replace(os.fsencode(folder) + b"/", b""))


# What tells who somebody is


def scrub(path):
    """Take names, dates of birth and paths out of an output of MRtrix3."""
    kinds = {
        (".txt", ".csv"): scrub_text,
        (".mif", ".tck", ".tsf"): scrub_header,
        (".nii",): scrub_nifti,
        (".mif.gz", ".nii.gz"): scrub_compressed,
    }
    next((call for ends, call in kinds.items() if path.endswith(ends)), lambda _: None)(path)


def scrub_compressed(path):
    """Do the same with the content of a compressed file."""
    plain = path + path[: -len(".gz")][-4:]  # x.nii may be another output
    with gzip.open(path) as file, open(plain, "wb") as copy:
        shutil.copyfileobj(file, copy, _PIECE)
    scrub(plain)
    with open(plain, "rb") as file, gzip.open(path, "wb", compresslevel=6) as copy:
        shutil.copyfileobj(file, copy, _PIECE)
    os.unlink(plain)


def scrub_text(path):
    """Drop the lines of a text file that are MRtrix3's comments, but not the one that lists the shells."""
    with open(path, "rb") as file:
        lines = file.readlines()
    with open(path, "wb") as file:
        file.writelines(line for line in lines if not line.startswith(b"#") or _SHELLS.match(line))


def scrub_header(path):
    """Overwrite the header of an image or tracks; the data stay where they are."""
    with open(path, "r+b") as file:
        lines, offset = [], 0
        for line in file:
            offset += len(line)
            lines.append(line)
            if line.strip() == b"END":
                break
        else:
            raise Failed("", f"{os.path.basename(path)} has no header of MRtrix3")
        kept = b"".join(line for line in lines if not (_PRIVATE.match(line.strip()) or b"/" in line))
        file.seek(0)
        file.write(kept + b"\0" * (offset - len(kept)))


def scrub_nifti(path):
    """Empty the fields for text in the header of a NIfTI image, where MRtrix3 writes its comments."""
    with open(path, "r+b") as file:
        size = file.read(4)
        # descrip and aux_file, before them db_name: nifti1.h, nifti2.h.
        is_second = 540 in (int.from_bytes(size, "little"), int.from_bytes(size, "big"))
        for offset, length in ((240, 80), (320, 24)) if is_second else ((14, 18), (148, 80), (228, 24)):
            file.seek(offset)
            file.write(bytes(length))


def free_memory():
    """Return how much memory is available, in bytes; less in a container that may have less."""
    with open("/proc/meminfo", encoding="ascii") as file:
        found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in file}
    limits = [found.get("MemAvailable", found["MemFree"])]
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError), open(name, encoding="ascii") as file:
            limits.append(int(file.read()))
    return min(limits)


if __name__ == "__main__":
    main()
