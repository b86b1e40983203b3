"""Fresh machines for tests: a bare Debian root under a throw-away overlay, with its own processes.

A `Box` is made in a fraction of a second and takes everything started in it along when it closes.
It shares the kernel and, until its network is cut, the network of the machine that runs the tests.
Only root with util-linux and debootstrap can make one; `why_not` says what is missing.

`Machines` keeps the roots that boxes stand on: `base` is what debootstrap gives, `ready` has the project's
virtual environment as well, and `layer` adds whatever takes long and is wanted by several tests. A root is a folder
with `tree`, the files that it adds, and `below`, a link to the root that it adds them to.
"""

from __future__ import annotations

import configparser
import contextlib
import datetime
import fcntl
import functools
import hashlib
import io
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

SUITES = ("bookworm", "trixie")
PROJECT = Path(__file__).resolve().parents[2]
HOME = {"root": "/root"}

# What a small server image of Debian has. Neither venv nor pip, curl, git, gpg or a compiler.
PACKAGES = ("python3", "ca-certificates", "procps", "sudo")
FALLBACK_MIRROR = "http://deb.debian.org/debian"
TOOLS = ("unshare", "nsenter", "mount", "chroot")

# The box's trust store gets the certificates of this machine, which may stand behind a proxy with its own.
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
# Of this machine's pip configuration, what says how to reach packages. The rest would make the box less fresh.
PIP_OPTIONS = ("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "proxy", "retries", "timeout")

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}

# Seconds after which a root that no session used is thrown away. They are large, and most are superseded.
UNUSED_FOR = 12 * 3600

# As in Debian's slim images, no documentation and no translations, and nothing waits for a disk that is thrown away.
SMALL = {
    "etc/dpkg/dpkg.cfg.d/small": "".join(f"path-exclude /usr/share/{name}/*\n" for name in ("doc", "man", "locale"))
    + "force-unsafe-io\n",
    "etc/apt/apt.conf.d/80small": 'Acquire::Languages "none";\n',
}

# Runs in namespaces of its own, as process 1. Arguments: where the root goes, what it is made from (folders between
# colons, the uppermost first), how, a folder for what is written, and folders of this machine to show read-only.
# /proc/sys is read-only because it is this machine's: a package's set-up may call sysctl.
# Process 1 ignores SIGCHLD, which makes the kernel reap orphans, and ends with the pipe on its standard input.
START = r"""
set -eu
root=$1 lower=$2 kind=$3 work=$4
shift 4
case $kind in
  bind) mount --bind "$lower" "$root" ;;
  *)
    case $kind in *memory*) mount -t tmpfs tmpfs "$work" ;; esac
    case $kind in *volatile*) more=,volatile ;; *) more= ;; esac
    mkdir -m 0755 "$work/upper" "$work/work"
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=$work/upper,workdir=$work/work$more" "$root" ;;
esac
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys" 2>/dev/null || mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
mkdir -m 1777 "$root/run/lock"
mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do
  : > "$root/dev/$node"
  mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for n in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${n%:*}" "$root/dev/${n#*:}"; done
for folder; do
  mkdir -p "$root$folder"
  mount --bind "$folder" "$root$folder"
  mount -o remount,bind,ro "$root$folder"
done
echo box > /proc/sys/kernel/hostname
exec chroot "$root" /bin/bash -c 'trap "" CHLD; echo up; exec cat > /dev/null'
"""

# A network namespace with nothing but a loopback that is up, for as long as standard input is open.
LONELY = """
import fcntl, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
print("up", flush=True)
sys.stdin.read()
"""


class CommandFailed(AssertionError):
    """A command in a box did not end as it should; the text shows what it printed."""


# --- What this machine is like ---------------------------------------------------------------------------------------


def why_not() -> str | None:
    """Say in one sentence why this machine cannot make boxes; None when it can."""
    if not sys.platform.startswith("linux"):
        return "a box needs Linux"
    if os.geteuid() != 0:
        return "a box needs root"
    missing = [tool for tool in TOOLS if not shutil.which(tool, path=_path())]
    if missing:
        return f"a box needs {' and '.join(missing)} of util-linux and coreutils"
    if not (shutil.which("debootstrap", path=_path()) or shutil.which("apt-get")):
        return "a box needs debootstrap, and there is no apt-get to install it"
    try:
        cache().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"a box needs a folder for its roots: {error}"
    if overlay_kind(cache()) is None:
        return "a box needs mount, process and overlay rights, which this machine does not give (a container?)"
    return None


def cache() -> Path:
    """Where roots are kept from one session to the next."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "/var/cache") / "provision-tests"


@functools.cache
def overlay_kind(folder: Path) -> str | None:
    """Find by trying which kind of overlay works with layers in `folder`.

    What is written may have to go to memory, because an overlay cannot write to another overlay, and that is
    what the root of a container is. `volatile` saves waiting for the disk and came with Linux 5.10.
    """
    script = START.partition("mount -t proc")[0] + 'touch "$root/written"'
    for kind in ("volatile", "plain", "memory"):
        with tempfile.TemporaryDirectory(prefix="try-", dir=folder) as scratch:
            for name in ("root", "lower", "work"):
                Path(scratch, name).mkdir()
            names = [f"{scratch}/root", f"{scratch}/lower", kind, f"{scratch}/work"]
            tried = subprocess.run([*_unshare(), "bash", "-c", script, "bash", *names], capture_output=True)
            if tried.returncode == 0:
                return kind
    return None


def mirror() -> str:
    """Return the Debian mirror that this machine's apt uses."""
    for path in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))):
        if path.suffix in (".list", ".sources") and path.is_file():
            for line in path.read_text().splitlines():
                found = re.match(r"(?:URIs:|deb\s)(?:.*\s)?(\w+://\S+/debian)/?(?:\s|$)", line)
                if found:
                    return found[1]
    return FALLBACK_MIRROR


def certificates() -> Path | None:
    """Return the file of certificate authorities that programs on this machine trust."""
    named = [os.environ.get(name) for name in CERTIFICATE_VARIABLES]
    candidates = [*named, ssl.get_default_verify_paths().cafile, CERTIFICATES, "/etc/pki/tls/certs/ca-bundle.crt"]
    return next((Path(name) for name in candidates if name and Path(name).is_file()), None)


def carried_environment() -> dict[str, str]:
    """Return the variables a box needs to reach the network as this machine does."""
    proxies = {
        name: os.environ[name] for lower in PROXY_VARIABLES for name in (lower, lower.upper()) if name in os.environ
    }
    trust = {name: CERTIFICATES for name in CERTIFICATE_VARIABLES if Path(os.environ.get(name, "")).is_file()}
    return proxies | trust


def pip_options() -> dict[str, str]:
    """Return how this machine's pip reaches packages: its files, then its environment, as pip reads them."""
    home = Path.home()
    files = [
        "/etc/xdg/pip/pip.conf",
        "/etc/pip.conf",
        home / ".pip/pip.conf",
        home / ".config/pip/pip.conf",
        Path(sys.prefix, "pip.conf"),
        os.environ.get("PIP_CONFIG_FILE", ""),
    ]
    parser = configparser.RawConfigParser(strict=False)
    parser.read([str(name) for name in files if str(name)])
    options = {
        name: value for section in ("global", "install") if section in parser for name, value in parser[section].items()
    }
    for name in PIP_OPTIONS:
        value = os.environ.get("PIP_" + name.upper().replace("-", "_"))
        if value:
            options[name] = value
    return {name: value for name, value in options.items() if name in PIP_OPTIONS}


def local_indexes() -> list[str]:
    """Return the folders of this machine that its pip takes packages from."""
    words = " ".join(value for name, value in pip_options().items() if name != "proxy").split()
    paths = [Path(word.removeprefix("file://")) for word in words if word.startswith(("/", "file:///"))]
    # An index `x/simple` refers to files beside it.
    return sorted({str(path.parent if path.name == "simple" else path) for path in paths if path.is_dir()})


def project_files(project: Path = PROJECT) -> list[Path]:
    """Return the files of the working tree that are or could be committed."""
    listed = (
        subprocess.run(
            [
                "git",
                "-c",
                "safe.directory=*",
                "-C",
                str(project),
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ],
            capture_output=True,
            text=True,
        )
        if shutil.which("git")
        else None
    )
    if listed is not None and listed.returncode == 0:
        names = sorted(set(filter(None, listed.stdout.split("\0"))))
        return [project / name for name in names if os.path.lexists(project / name)]
    made, anywhere = {".venv", ".git", "dist", "build", "site"}, {"__pycache__", ".pytest_cache", ".ruff_cache"}
    names = [(path, path.relative_to(project).parts) for path in sorted(project.rglob("*"))]
    return [
        path
        for path, parts in names
        if parts[0] not in made and not anywhere & set(parts) and (path.is_file() or path.is_symlink())
    ]


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _unshare() -> list[str]:
    return ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--uts", "--ipc"]


# --- A box -----------------------------------------------------------------------------------------------------------


class Process(subprocess.Popen):
    """A command running in a box. Signals reach the command and its children, as Ctrl-C does in a terminal."""

    def send_signal(self, sig: int) -> None:
        if self.poll() is not None:
            return
        try:
            os.killpg(_first_child(self.pid), sig)
        except (ProcessLookupError, IndexError):  # the command has not started yet, or has just ended
            super().send_signal(sig)


class Box:
    """One machine. Use `Machines.box` or a fixture to get one.

    Attributes
    ----------
    project : str
        The folder in the box with a copy of the project's working tree.
    """

    project = "/root/project"

    def __init__(self, trees: list[Path], kind: str, folder: Path, luggage: bytes = b"") -> None:
        self._folder = folder
        self._holders: list[subprocess.Popen] = []
        self._lonely: int | None = None
        self._users = {"root"}
        for name in ("root", "work"):
            (folder / name).mkdir(parents=True)
        names = [str(folder / "root"), ":".join(map(str, trees)), kind, str(folder / "work")]
        init = self._hold([*_unshare(), "bash", "-c", START, "bash", *names, *local_indexes()])
        self._pid = _first_child(init.pid)
        if luggage:
            self._feed("tar -x -C /", luggage)

    def run(
        self,
        command: str,
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        input: str | None = None,
        timeout: float = 900,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run shell lines to their end and return what they printed.

        Parameters
        ----------
        command
            Lines for bash.
        user
            Root when None. Any other name is an ordinary user with sudo and no password, made when first named.
        env
            Variables on top of a login's few; an empty value takes one away.
        cwd
            The project's folder when None: `~/project`.
        input
            Text for standard input, which is empty otherwise.
        timeout
            Seconds after which the command is killed.
        check
            Whether an exit code other than 0 raises.

        Raises
        ------
        CommandFailed
            The command failed, or took too long.
        """
        source = subprocess.DEVNULL if input is None else subprocess.PIPE
        process = self.popen(command, user=user, env=env, cwd=cwd, stdin=source)
        try:
            out, err = process.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # a daemon may hold the pipe
                process.communicate(timeout=5)
            raise CommandFailed(f"not done after {timeout} s: {command}") from None
        done = subprocess.CompletedProcess(command, process.returncode, out, err)
        if check and done.returncode:
            raise CommandFailed(f"exit {done.returncode}: {command}\n{_tail(out)}{_tail(err)}")
        return done

    def popen(
        self,
        command: str,
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        text: bool = True,
    ) -> Process:
        """Start shell lines and return without waiting; the parameters are those of `run`."""
        user = user or "root"
        if user not in self._users:
            self.add_user(user)
        home = HOME.get(user, f"/home/{user}")
        place = f"cd -- {shlex.quote(cwd)}" if cwd else "cd ~/project 2> /dev/null || cd"
        variables = ENVIRONMENT | carried_environment() | {"HOME": home, "USER": user, "LOGNAME": user} | (env or {})
        become = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        pairs = [f"{name}={value}" for name, value in variables.items() if value]
        # A session of its own, so that a signal to its group reaches the command and not nsenter; and no signal is
        # ignored because it is where the tests run.
        inside = [
            "/usr/bin/env",
            "-i",
            "--default-signal",
            *pairs,
            *become,
            "setsid",
            "bash",
            "-c",
            f"{place} || exit\n{command}",
        ]
        # The exit status of nsenter is that of the command, also when a signal ended it.
        encoding = {"encoding": "utf-8", "errors": "replace"} if text else {}
        return Process([*self._enter(), *inside], stdin=stdin, stdout=stdout, stderr=stderr, **encoding)

    def write(self, path: str, text: str, *, mode: str = "644") -> None:
        """Write a file, and the folders above it, as root."""
        self._feed(f"install -D -m {mode} /dev/stdin {shlex.quote(path)}", text.encode())

    def read(self, path: str) -> str:
        """Return the text of a file."""
        return self.run(f"cat -- {shlex.quote(path)}").stdout

    def copy_in(self, source: Path | str, target: str) -> None:
        """Copy a file or a folder of this machine to the path `target`; it belongs to root there."""
        with _archive() as (archive, data):
            archive.add(source, arcname=target.lstrip("/"), filter=_owned_by_root)
        self._feed("tar -x -C /", data.getvalue())

    def copy_out(self, source: str, target: Path) -> None:
        """Copy a folder of the box to the path `target` of this machine, which is replaced."""
        process = self.popen(f"tar -c -C {shlex.quote(source)} .", cwd="/", text=False)
        data, err = process.communicate()
        if process.returncode:
            raise CommandFailed(f"{source} cannot be copied: {err.decode(errors='replace')}")
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
        subprocess.run(["tar", "-x", "-C", str(new)], input=data, check=True)
        shutil.rmtree(target, ignore_errors=True)
        new.rename(target)

    def add_user(self, name: str, *, sudo: bool = True) -> None:
        """Make an ordinary user with a copy of the project in `~/project`."""
        home = f"/home/{name}"
        self._users.add(name)
        self.run(
            f"useradd --create-home --shell /bin/bash {name}; mkdir {home}/project\n"
            f"tar -c -C {self.project} --exclude=./.venv . | tar -x -C {home}/project; chown -R {name}: {home}",
            cwd="/",
        )
        if sudo:
            self.write(f"/etc/sudoers.d/{name}", f"{name} ALL=(ALL) NOPASSWD: ALL\n", mode="440")

    def limit_disk(self, path: str, size: str) -> None:
        """Lay an empty file system of the size, for example `64m`, over a folder."""
        self.run(f"mkdir -p {shlex.quote(path)}; mount -t tmpfs -o mode=0755,size={size} tmpfs {shlex.quote(path)}")

    def share(self, folder: Path, path: str) -> None:
        """Show a folder of this machine, to be written to as well; several boxes may show the same."""
        self.run(f"mkdir -p {shlex.quote(path)}", cwd="/")
        # With the root of what started the box: the box has another, and in a chroot so has its namespace.
        starter = str(self._holders[0].pid)
        enter = ["nsenter", "--target", starter, "--mount", "--root", "--wd=/", "--"]
        subprocess.run([*enter, "mount", "--bind", str(folder), f"{self._folder}/root{path}"], check=True)

    def cut_network(self) -> None:
        """Leave the commands that start from now on with nothing but a loopback, which they share."""
        if self._lonely is None:
            self._lonely = self._hold(["unshare", "--net", sys.executable, "-c", LONELY]).pid

    def join_network(self, other: Box) -> None:
        """Have the commands that start from now on share what another box has, whose network was cut."""
        self._lonely = other._lonely

    def restore_network(self) -> None:
        """Give the commands that start from now on the network back."""
        self._lonely = None

    def end(self) -> Path:
        """End the machine and everything that runs in it; return the folder with what was written in it."""
        for holder in reversed(self._holders):
            holder.stdin.close()
            holder.wait()
            holder.stdout.close()
            holder.stderr.close()
        self._holders.clear()
        return self._folder / "work" / "upper"

    def close(self) -> None:
        """End the machine, everything that runs in it, and what was written in it."""
        self.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _hold(self, command: list[str]) -> subprocess.Popen:
        """Start a process that says `up` and then lives until its standard input is closed, if only by our death."""
        pipe = subprocess.PIPE
        holder = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self._holders.append(holder)
        if holder.stdout.readline() != "up\n":
            error = holder.stderr.read()
            self.close()
            raise CommandFailed(f"the box did not start: {error}")
        return holder

    def _enter(self) -> list[str]:
        inside = f"/proc/{self._pid}/root"
        network = [f"--net=/proc/{self._lonely}/ns/net"] if self._lonely else []
        return [
            "nsenter",
            "--target",
            str(self._pid),
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            *network,
            f"--root={inside}",
            f"--wd={inside}",
        ]

    def _feed(self, command: str, data: bytes) -> None:
        """Run a command as root in `/` with bytes on its standard input."""
        process = self.popen(command, cwd="/", stdin=subprocess.PIPE, text=False)
        _, err = process.communicate(data)
        if process.returncode:
            raise CommandFailed(f"exit {process.returncode}: {command}\n{err.decode(errors='replace')}")


def _first_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _tail(text: str, lines: int = 60) -> str:
    return "".join(text.splitlines(keepends=True)[-lines:])


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


@contextlib.contextmanager
def _archive() -> Iterator[tuple[tarfile.TarFile, io.BytesIO]]:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        yield archive, data


# --- The roots that boxes stand on -----------------------------------------------------------------------------------


class Machines:
    """Makes boxes, and keeps the roots they stand on.

    Parameters
    ----------
    store
        The folder that roots are kept in; sessions may share it.
    extras
        The extras of the project that the environment of `ready` has.
    """

    def __init__(self, store: Path, extras: str = "demo,study") -> None:
        self._store = store
        self._extras = extras
        self._kind = overlay_kind(store)
        self._locks: list[int] = []
        self._in_use: set[Path] = set()
        self._luggage = _luggage()
        self._mark = hashlib.sha256(self._luggage).hexdigest()
        for name in ("layers", "locks", "runs"):
            (store / name).mkdir(parents=True, exist_ok=True)
        self._sweep()
        self._run = Path(tempfile.mkdtemp(dir=store / "runs"))
        self._lock(self._run, fcntl.LOCK_EX)

    @contextlib.contextmanager
    def box(self, root: Path, *, offline: bool = False, apt: bool = False) -> Iterator[Box]:
        """Give a fresh machine on a root.

        Parameters
        ----------
        root
            What `base`, `ready` or `layer` returned.
        offline
            Cut the network from the start.
        apt
            Have `apt-get update` done.
        """
        box = self._start(root, self._kind)
        try:
            if apt:
                box.run("apt-get update -qq")
            if offline:
                box.cut_network()
            yield box
        finally:
            box.close()

    def base(self, suite: str) -> Path:
        """Return the root of a bare machine: Python, sudo and little else, and no package lists."""
        return self._keep(f"{suite}-base", [mirror(), *PACKAGES], functools.partial(_debootstrap, suite))

    def ready(self, suite: str) -> Path:
        """Return a root with the project's `.venv`, and package lists not older than a week."""
        lock = sorted((PROJECT / "requirements").glob("*.txt"))
        key = [_digest(path) for path in (PROJECT / "pyproject.toml", PROJECT / "bootstrap", *lock)]
        week = datetime.date.today().strftime("%G-%V")
        return self.layer(self.base(suite), "ready", self._make_ready, key=[*key, self._extras, week])

    def layer(self, root: Path, name: str, prepare: Callable[[Box], object], key: list[str] | None = None) -> Path:
        """Return a root that is another one after `prepare` has run on it.

        Parameters
        ----------
        root
            What to start from.
        name
            What the layer is called.
        prepare
            Called with a box whose changes are kept, but for its processes, /tmp, and the project without `.venv`.
        key
            What the result depends on besides `root`. The layer is kept for later sessions with the same key;
            without one it is for this session alone.
        """
        make = functools.partial(self._prepare, root, prepare)
        if key is not None:
            return self._keep(f"{root.name}-{name}", [root.name, *key], make, root)
        own = self._run / f"{root.name}-{name}"
        if not own.exists():
            self._make(own, make, root)
        return own

    def close(self) -> None:
        """Throw away what this session needed, and roots that nobody has used for long."""
        for lock in self._locks:
            os.close(lock)
        shutil.rmtree(self._run, ignore_errors=True)
        self._sweep()

    def _start(self, root: Path, kind: str) -> Box:
        if kind not in ("volatile", "plain"):
            return self._packed(root, kind)
        base = _trees(root)[-1].parent
        carried = self._keep(f"{base.name}-luggage", [self._mark], functools.partial(self._unpack, base), base)
        return Box([carried / "tree", *_trees(root)], kind, self._scratch())

    def _packed(self, root: Path, kind: str) -> Box:
        """Start a box that unpacks the luggage by itself."""
        return Box(_trees(root), kind, self._scratch(), self._luggage)

    def _scratch(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="box-", dir=self._run))

    def _unpack(self, base: Path, tree: Path) -> None:
        """Unpack and compile the luggage once for all boxes, which would take as long as many of their commands."""
        box = self._packed(base, self._kind)
        try:
            box.run(f"python3 -m compileall -q {box.project}/provision", cwd="/")
            tree.rmdir()
            box.end().rename(tree)
        finally:
            box.close()

    def _make_ready(self, box: Box) -> None:
        # What is compiled here is not compiled at its first use in each box.
        made = "./bootstrap true && .venv/bin/python -m compileall -q -j0 .venv/lib"
        box.run(f"apt-get update -qq && {{ {made}; }} && apt-get clean", env={"PROVISION_EXTRAS": self._extras})

    def _prepare(self, root: Path, prepare: Callable[[Box], object], tree: Path) -> None:
        # What an overlay in memory has written is gone with it: there each root is whole, and written to as it is.
        in_memory = self._kind == "memory"
        if in_memory:
            subprocess.run(["cp", "-a", "--reflink=auto", f"{_trees(root)[0]}/.", str(tree)], check=True)
        box = self._start(tree.parent if in_memory else root, "bind" if in_memory else self._kind)
        try:
            prepare(box)
            box.run(
                f"find {box.project} -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {{}} +\n"
                "find /tmp -mindepth 1 -delete",
                cwd="/",
            )
            if not in_memory:
                tree.rmdir()
                box.end().rename(tree)
        finally:
            box.close()

    def _keep(self, name: str, key: list[str], make: Callable[[Path], object], below: Path | None = None) -> Path:
        """Return the root of that name and key, after making it beside its place if it is not there.

        One lock says that a root is in use, and is shared until the session ends; another is for making it.
        """
        root = self._store / "layers" / f"{name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:8]}"
        if root in self._in_use:
            return root
        with _locked(self._store / "locks" / f"{root.name}.making"):
            self._lock(self._guard(root), fcntl.LOCK_SH)
            if not root.exists():
                self._make(root, make, below)
        self._in_use.add(root)
        return root

    def _make(self, root: Path, make: Callable[[Path], object], below: Path | None = None) -> None:
        print(f"making the root {root.name}, once", file=sys.stderr)
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=self._run))
        tree = draft / "tree"
        tree.mkdir()
        make(tree)
        if below and self._kind != "memory":
            (draft / "below").symlink_to(below)
        draft.rename(root)

    def _guard(self, root: Path) -> Path:
        return self._store / "locks" / root.name

    def _lock(self, path: Path, how: int) -> None:
        """Lock a path, making an empty file if need be, until this session ends, however it ends."""
        if not path.is_dir():
            path.touch()
        lock = os.open(path, os.O_RDONLY)
        fcntl.flock(lock, how)
        self._locks.append(lock)

    def _sweep(self) -> None:
        """Throw away what sessions that were killed left, and roots that nobody has used for long."""
        for run in (self._store / "runs").iterdir():
            _remove_unlocked(run, run, older_than=60)
        for root in (self._store / "layers").iterdir():
            _remove_unlocked(root, self._guard(root), older_than=UNUSED_FOR)


def _trees(root: Path) -> list[Path]:
    """Return the folders that a root is made of, the uppermost first."""
    below = root / "below"
    return [root / "tree", *(_trees(below.readlink()) if below.is_symlink() else [])]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_unlocked(folder: Path, guard: Path, older_than: float) -> None:
    with contextlib.suppress(OSError):
        if time.time() - guard.stat().st_mtime < older_than:
            return
        lock = os.open(guard, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _debootstrap(suite: str, target: Path) -> None:
    with _locked(cache() / "locks" / "debootstrap"):  # apt fails where another works
        if not shutil.which("debootstrap", path=_path()):
            print("installing debootstrap on this machine, to make boxes with", file=sys.stderr)
            install = "apt-get install -y -qq debootstrap debian-archive-keyring"
            command = f"{install} || {{ apt-get update -qq && {install}; }}"
            subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.DEVNULL)
    # In namespaces of its own nothing stays mounted or running when it is interrupted.
    script = "/usr/share/debootstrap/scripts/sid"  # serves the suites that this debootstrap has not heard of, too
    made = subprocess.run(
        [
            *_unshare(),
            "debootstrap",
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            suite,
            str(target),
            mirror(),
            script,
        ],
        env=os.environ | {"PATH": _path()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise CommandFailed(f"debootstrap {suite} failed:\n{_tail(made.stdout)}{_tail(made.stderr)}")
    (target / "etc/apt/sources.list").write_text(f"deb {mirror()} {suite} main\n")
    for pattern in ("var/lib/apt/lists/*debian*", "var/cache/apt/archives/*.deb"):
        for path in target.glob(pattern):
            path.unlink()


def _luggage() -> bytes:
    """Return as a tar what every box is given: the project, and this machine's ways to the network."""
    resolver = Path("/etc/resolv.conf")
    options = "".join(f"{name} = {' '.join(value.split())}\n" for name, value in pip_options().items())
    settings = {
        "etc/hostname": "box\n",
        "etc/hosts": "127.0.0.1 localhost box\n::1 localhost box\n",
        "etc/resolv.conf": resolver.read_text() if resolver.is_file() else "",
        "etc/pip.conf": f"[global]\ndisable-pip-version-check = true\n{options}",
        "etc/apt/apt.conf.d/80proxy": _apt_proxy(),
        **SMALL,
    }
    with _archive() as (archive, data):
        for name, text in settings.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(_owned_by_root(member), io.BytesIO(text.encode()))
        if certificates():
            archive.add(certificates().resolve(), arcname=CERTIFICATES.lstrip("/"), filter=_owned_by_root)
        for path in project_files():
            name = Path("root/project", path.relative_to(PROJECT))
            archive.add(path, arcname=str(name), recursive=False, filter=_owned_by_root)
    return data.getvalue()


def _apt_proxy() -> str:
    if not shutil.which("apt-config"):
        return ""
    lines = subprocess.run(["apt-config", "dump"], capture_output=True, text=True).stdout.splitlines()
    return "".join(f"{line}\n" for line in lines if re.match(r"Acquire::https?::Proxy\b", line))
