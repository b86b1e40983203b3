"""Show a folder through a file system that is as slow as Google Drive mounted in Colab.

    python benchmarks/slow_drive.py FOLDER MOUNTPOINT [--lookup 0.02] [--open 0.1] [--bandwidth 30e6]

It stays until SIGINT, SIGTERM or an unmount; `mounted` does the same around a `with` block. The first look-up of a
path, also of one that does not exist, takes --lookup seconds and its first open --open seconds: what was asked for
once, the client has. A new name after a rename is a new path. All reads share --bandwidth bytes a second, all writes as
many again; what the page cache holds costs nothing. Requests wait side by side, but for look-ups in one folder: the
kernel sends them one after the other. Needs `pip install mfusepy` and `apt-get install fuse3`.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes.util
import importlib.util
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# How many requests wait side by side; libfuse would stop at ten.
THREADS = 64
START_SECONDS = 30
UNMOUNT_SECONDS = 10
END_SECONDS = 1
# The gentle ways first: they wait for what `mmap` has yet to write, but fail while something is in use.
UNMOUNT = (["fusermount3", "-u"], ["umount"], ["fusermount3", "-uz"], ["umount", "-l"])
# What utimensat() says instead of nanoseconds.
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
# What libfuse returns when its loop was ended by a signal: before 3.12, and since.
ENDED = (7, 8)


class Drive(NamedTuple):
    """Seconds for the first look-up of a path and for its first open, and bytes per second."""

    lookup: float
    open: float
    bandwidth: float


TYPICAL = Drive(lookup=0.02, open=0.1, bandwidth=30e6)
FAST = Drive(lookup=0.005, open=0.05, bandwidth=50e6)
BAD = Drive(lookup=0.05, open=0.2, bandwidth=10e6)


def sleep_until(due: float) -> None:
    time.sleep(max(0.0, due - time.monotonic()))


def kind(entry: os.DirEntry) -> int:
    """Return its type without a look at the file, which another thread may have taken away."""
    if entry.is_symlink():
        return stat.S_IFLNK
    return stat.S_IFDIR if entry.is_dir(follow_symlinks=False) else stat.S_IFREG


class Once:
    """A price that each path pays once; who asks meanwhile waits for the same answer."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.ready: dict[str, float] = {}

    def wait(self, path: str) -> None:
        sleep_until(self.ready.setdefault(path, time.monotonic() + self.seconds))


class Line:
    """One direction of the connection, which all transfers share."""

    def __init__(self, bandwidth: float):
        self.bandwidth = bandwidth
        self.free_at = 0.0
        self.lock = threading.Lock()

    def carry(self, size: int) -> None:
        with self.lock:
            due = self.free_at = max(self.free_at, time.monotonic()) + size / self.bandwidth
        sleep_until(due)


class SlowDrive:
    """What libfuse asks for, passed through to a folder; mfusepy finds these methods by their names."""

    use_ns = True

    def __init__(self, folder: Path, drive: Drive, keep_exec: bool):
        self.folder = folder
        self.keep_exec = keep_exec
        self.looked_up, self.opened = Once(drive.lookup), Once(drive.open)
        self.down, self.up = Line(drive.bandwidth), Line(drive.bandwidth)

    def real(self, path: str) -> Path:
        return self.folder / path.removeprefix("/")

    def getattr(self, path: str, handle: int | None = None) -> dict[str, int]:
        self.looked_up.wait(path)
        found = self.real(path).lstat() if handle is None else os.fstat(handle)
        names = ("st_nlink", "st_uid", "st_gid", "st_rdev", "st_size", "st_blocks", "st_blksize")
        times = {f"st_{name}": getattr(found, f"st_{name}_ns") for name in ("atime", "mtime", "ctime")}
        return {name: getattr(found, name) for name in names} | times | {"st_mode": self.mode(found.st_mode)}

    def mode(self, real: int) -> int:
        return real if self.keep_exec or not stat.S_ISREG(real) else real & ~0o111

    def readdir(self, path: str, _handle: int) -> list[tuple[str, int, int]]:
        with os.scandir(self.real(path)) as entries:
            found = [(entry.name, kind(entry), 0) for entry in entries]
        return [(".", stat.S_IFDIR, 0), ("..", stat.S_IFDIR, 0), *found]

    def readlink(self, path: str) -> str:
        return os.readlink(self.real(path))  # noqa: PTH115 - a Path would tidy what the link says

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self.real(path))
        return {name: getattr(found, name) for name in dir(found) if name.startswith("f_")}

    def open(self, path: str, flags: int) -> int:
        self.opened.wait(path)
        # Direct transfers need aligned memory, which Python does not promise.
        return os.open(self.real(path), flags & ~os.O_DIRECT)

    def create(self, path: str, mode: int, flags: int) -> int:
        self.opened.wait(path)
        return os.open(self.real(path), (flags | os.O_CREAT) & ~os.O_DIRECT, mode)

    def read(self, _path: str, size: int, offset: int, handle: int) -> bytes:
        data = os.pread(handle, size, offset)
        self.down.carry(len(data))
        return data

    def write(self, _path: str, data: bytes, offset: int, handle: int) -> int:
        self.up.carry(len(data))
        return os.pwrite(handle, data, offset)

    def truncate(self, path: str, length: int, handle: int | None = None) -> None:
        os.truncate(self.real(path) if handle is None else handle, length)

    def flush(self, _path: str, handle: int) -> None:
        os.close(os.dup(handle))

    def fsync(self, _path: str, only_data: int, handle: int) -> None:
        (os.fdatasync if only_data else os.fsync)(handle)

    def release(self, _path: str, handle: int) -> None:
        os.close(handle)

    def unlink(self, path: str) -> None:
        self.real(path).unlink()

    def rename(self, old: str, new: str) -> None:
        self.real(old).rename(self.real(new))

    def mkdir(self, path: str, mode: int) -> None:
        self.real(path).mkdir(mode)

    def rmdir(self, path: str) -> None:
        self.real(path).rmdir()

    def symlink(self, path: str, target: str) -> None:
        self.real(path).symlink_to(target)

    def chmod(self, path: str, mode: int) -> None:
        self.real(path).chmod(mode)

    def chown(self, path: str, user: int, group: int) -> None:
        os.chown(self.real(path), user, group, follow_symlinks=False)

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        real = self.real(path)
        found, now = real.lstat(), time.time_ns()
        special = ({UTIME_NOW: now, UTIME_OMIT: found.st_atime_ns}, {UTIME_NOW: now, UTIME_OMIT: found.st_mtime_ns})
        atime, mtime = (known.get(value, value) for known, value in zip(special, times or (now, now), strict=True))
        os.utime(real, ns=(atime, mtime), follow_symlinks=False)


def library() -> str | None:
    return os.environ.get("FUSE_LIBRARY_PATH") or ctypes.util.find_library("fuse3")


def missing() -> str | None:
    """Say in a sentence what to install; None where everything is there."""
    if not importlib.util.find_spec("mfusepy"):
        return "The slow drive needs the Python library mfusepy: pip install 'mfusepy>=3,<4'."
    if not library():
        return "The slow drive needs libfuse 3: apt-get install fuse3."
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return (
            f"The slow drive needs /dev/fuse, which cannot be used ({error.strerror}): `modprobe fuse` makes it on a "
            "machine, `--device /dev/fuse --cap-add SYS_ADMIN` gives it to a container."
        )
    return None


def serve(folder: Path, point: Path, drive: Drive, keep_exec: bool) -> None:
    """Mount, and answer until the end."""
    # Where libfuse 2 is installed too mfusepy would take that, with other sizes of requests: other figures.
    os.environ["FUSE_LIBRARY_PATH"] = library()
    import mfusepy

    # The mode of a new file has been through the mask of the program that makes it.
    os.umask(0)
    try:
        mfusepy.FUSE(
            SlowDrive(folder.resolve(), drive, keep_exec),
            str(point.resolve()),
            foreground=True,
            fsname="slow_drive",
            subtype="slow_drive",
            max_idle_threads=THREADS,
            **({"max_threads": THREADS} if mfusepy.fuse_version_minor >= 12 else {}),  # no limit before
            auto_cache=True,  # pages stay from one open to the next unless the file has changed
            default_permissions=True,  # or a program would be found on the PATH whose exec bits are lost
        )
    except RuntimeError as error:
        if error.args[0] not in ENDED:
            sys.exit(f"The slow drive could not be mounted on {point} (libfuse ended with code {error}).")


def is_mounted(point: Path) -> bool:
    """Look without touching it: a mount whose server was killed answers Errno 107 to everything."""
    escaped = str(point).replace("\\", "\\134").replace(" ", "\\040")
    return any(line.split()[1] == escaped for line in Path("/proc/self/mounts").read_text().splitlines())


def unmount(point: Path) -> None:
    for command in UNMOUNT:
        if not is_mounted(point):
            return
        with contextlib.suppress(FileNotFoundError, subprocess.TimeoutExpired):
            subprocess.run([*command, point], capture_output=True, check=False, timeout=UNMOUNT_SECONDS)


def end(server: subprocess.Popen) -> None:
    """Let it go by itself after the unmount, or kill it: asked to stop it would only fail to unmount once more."""
    try:
        server.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def wait_for_mount(server: subprocess.Popen, point: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not os.path.ismount(point):
        if server.poll() is not None:
            raise RuntimeError(f"The slow drive ended with code {server.returncode} before it was mounted.")
        if time.monotonic() > deadline:
            raise RuntimeError(f"The slow drive was not mounted after {START_SECONDS} s.")
        time.sleep(0.02)


@contextlib.contextmanager
def mounted(folder: Path, *, lookup: float, open: float, bandwidth: float, keep_exec: bool = True) -> Iterator[Path]:
    """Yield a temporary folder that shows `folder` slowly; `mounted(folder, **TYPICAL._asdict())`."""
    if sentence := missing():
        raise RuntimeError(sentence)
    point = Path(tempfile.mkdtemp(prefix="slow-drive-")).resolve()
    options = [f"--lookup={lookup}", f"--open={open}", f"--bandwidth={bandwidth}"]
    options.append("--keep-exec" if keep_exec else "--no-keep-exec")
    # In a session of its own, or Ctrl-C would end the server before those who still use it.
    server = subprocess.Popen(
        [sys.executable, __file__, folder, point, *options], stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for_mount(server, point)
        yield point
    finally:
        unmount(point)
        end(server)
        unmount(point)  # again: a server that had to be killed may have mounted meanwhile
        point.rmdir()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("mountpoint", type=Path)
    parser.add_argument("--lookup", type=float, default=TYPICAL.lookup, help="seconds for the first look-up of a path")
    parser.add_argument("--open", type=float, default=TYPICAL.open, help="seconds for the first open of a path")
    parser.add_argument("--bandwidth", type=float, default=TYPICAL.bandwidth, help="bytes per second")
    parser.add_argument(
        "--keep-exec",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="show exec bits, which the real drive loses",
    )
    arguments = parser.parse_args()
    for folder in (arguments.folder, arguments.mountpoint):
        if not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    if sentence := missing():
        sys.exit(sentence)
    drive = Drive(arguments.lookup, arguments.open, arguments.bandwidth)
    serve(arguments.folder, arguments.mountpoint, drive, arguments.keep_exec)


if __name__ == "__main__":
    main()
