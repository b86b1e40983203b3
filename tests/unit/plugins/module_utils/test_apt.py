"""How packages are installed and removed, and what apt and dpkg say in a sentence, with doubles of both."""

import stat

import pytest

from plugins.module_utils.provision import apt as apt

NOT_SIGNED = """\
Err:1 http://x.example.org stable InRelease
  The following signatures couldn't be verified because the public key is not available: NO_PUBKEY AA
E: The repository 'http://x.example.org stable InRelease' is not signed.
"""
NO_NAME_SERVER = """\
Err:1 http://deb.debian.org/debian bookworm InRelease
  Temporary failure resolving 'deb.debian.org'
W: Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease  Temporary failure resolving 'deb.debian.org'
W: Some index files failed to download. They have been ignored, or old ones used instead.
"""
DISK_FULL = """\
dpkg: error processing archive /var/cache/apt/archives/gcc-12_12.2_amd64.deb (--unpack):
 cannot copy extracted data for './usr/lib/gcc/cc1' to '/usr/lib/gcc/cc1.dpkg-new': failed to write (No space left on device)
E: Sub-process /usr/bin/dpkg returned an error code (1)
"""  # noqa: E501
SCRIPT = """\
dpkg: error processing package foo (--configure):
 installed foo package post-installation script subprocess returned error exit status 1
Errors were encountered while processing:
 foo
E: Sub-process /usr/bin/dpkg returned an error code (1)
"""
UNMET = """\
The following packages have unmet dependencies:
 libtiff6 : Depends: libjpeg62-turbo (>= 1.3.1) but it is not installable
E: Unable to correct problems, you have held broken packages.
"""


@pytest.mark.parametrize(
    ("said", "lists", "code", "value"),
    [
        ("E: Unable to locate package nix", "Hit:1 http://a b", "no-package", "'nix'"),
        ("E: Package 'nix' has no installation candidate", "", "no-package", "'nix'"),
        ("E: Unable to locate package libtiff6", NOT_SIGNED, "unsigned-source",
         "x.example.org stable InRelease' is not"),
        ("E: Unable to locate package libtiff6", NO_NAME_SERVER, "unreachable", "resolving 'deb.debian.org'"),
        ("E: Failed to fetch http://a/x.deb  404  Not Found", "", "no-mirror", "404 Not Found"),
        ("E: Failed to fetch http://a/x.deb  Could not connect to 127.0.0.1:9", "", "unreachable", "127.0.0.1:9"),
        ("E: Failed to fetch http://a/x.deb  Hash Sum mismatch", "", "hash-mismatch", "Hash Sum mismatch"),
        ("E: Unable to locate package x", "E: Release file for http://a is not valid yet (invalid for 3h).",
         "wrong-clock", "not valid yet"),
        ("E: Unable to locate package x", "E: Release file for http://a is expired (invalid since 3d).", "wrong-clock",
         "is expired"),
        ("E: Conflicting values set for option Signed-By regarding source http://a", "", "bad-sources", "Signed-By"),
        ("E: Malformed entry 1 in list file /etc/apt/x.list (Component)\nE: The list of sources could not be read.", "",
         "bad-sources", "/etc/apt/x.list"),
        ("E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (unattended-upgr)", "",
         "apt-locked", "process 7 (unattended-upgr)"),
        (DISK_FULL, "", "disk-full", ""),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "", "disk-full", ""),
        (SCRIPT, "", "package-script", "foo: installed foo package post-installation script"),
        (UNMET, "", "broken-packages", "libtiff6 : Depends: libjpeg62-turbo"),
        ("E: Unmet dependencies. Try 'apt --fix-broken install'", "", "broken-packages", "Unmet dependencies"),
        ("E: Held packages were changed and -y was used without --allow-change-held-packages.", "", "held-packages",
         "Held packages"),
        ("E: Packages need to be removed but remove is disabled.", "", "would-remove", ""),
        ("E: Could not open lock file /var/lib/dpkg/lock-frontend - open (30: Read-only file system)", "", "read-only",
         "Read-only file system"),
        ("dpkg: error: dpkg frontend lock was locked by another process with pid 9", "", "apt-locked", "pid 9"),
        ("something new", "", "apt-failed", "something new"),
        ("", "", "apt-failed", "install x"),
    ],
)  # fmt: skip
def test_what_apt_says_is_told_in_its_own_words_with_what_to_do(said, lists, code, value):
    error = apt.explained("install x", said, lists)
    assert error.code == code and value in error.message, error.message
    assert error.hint and "\n" not in error.message


@pytest.fixture(autouse=True)
def list_folder(monkeypatch, tmp_path):
    """A folder of package lists, with none in it."""
    (tmp_path / "lists").mkdir()
    monkeypatch.setattr(apt, "_LISTS", str(tmp_path / "lists"))
    return tmp_path / "lists"


def test_where_some_sources_can_be_read_both_the_name_and_what_apt_says_of_the_others_are_told(list_folder):
    (list_folder / "deb.debian.org_main_binary-amd64_Packages").touch()
    error = apt.explained("install nix", "E: Unable to locate package nix", NOT_SIGNED)
    assert error.code == "no-package"
    assert "'nix'" in error.message and "x.example.org stable InRelease' is not signed" in error.message


@pytest.fixture
def programs(monkeypatch, tmp_path):
    """Give a function that puts a script in the place of a program; what is called is in the file `calls`."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    state = {"missing": ["git"], "unfinished": [], "interrupted": False}
    installed = tmp_path / "installed"
    monkeypatch.setattr(apt, "missing_packages", lambda names: [] if installed.exists() else state["missing"])
    monkeypatch.setattr(apt, "unfinished_packages", lambda: state["unfinished"])
    monkeypatch.setattr(apt, "dpkg_was_interrupted", lambda: state["interrupted"])
    monkeypatch.setattr(apt, "known_packages", dict)

    def put(name, script):
        path = tmp_path / "bin" / name
        path.write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path / "calls"}\n{script}\n')
        path.chmod(stat.S_IRWXU)

    def calls(word=""):
        lines = (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
        return [line for line in lines if word in line]

    put("dpkg", "exit 0")
    put("apt-config", "exit 0")
    return put, calls, state, f"touch {installed}"


def test_a_source_that_cannot_be_read_does_not_matter_when_the_others_have_it(programs):
    put, _calls, _state, done = programs
    put("apt-get", f'case "$*" in *update*) echo "E: The repository is not signed."; exit 100;; *) {done};; esac')
    apt.install(["git"])


def test_where_it_does_the_reason_is_what_apt_said_of_the_lists(programs):
    put, _calls, _state, _done = programs
    put("apt-get", 'case "$*" in *update*) echo "E: The repository \'x\' is not signed.";; '
                   '*) echo "E: Unable to locate package git";; esac; exit 100')  # fmt: skip
    with pytest.raises(apt.AptError) as raised:
        apt.install(["git"])
    assert (raised.value.code, "'x' is not signed" in raised.value.message) == ("unsigned-source", True)


def test_nobody_waits_for_a_server_that_did_not_answer_once_for_each_package(programs):
    put, calls, _state, _done = programs
    put(
        "apt-get",
        """case "$*" in
        *update*) echo "Hit:1 http://good.example.org/x y InRelease"; echo "Err:2 http://dead.example.org/x y InRelease"
            echo "W: Failed to fetch http://dead.example.org/x  Connection timed out";;
        *print-uris*) echo "'http://dead.example.org/x/git.deb' git.deb 1 SHA256:a";;
        *) echo "E: Unable to fetch some archives, maybe run apt-get update"; exit 100;; esac""",
    )
    with pytest.raises(apt.AptError) as raised:
        apt.install(["git"])
    assert raised.value.code == "unreachable" and not calls("--download-only")


def test_a_server_that_is_not_needed_may_be_dead(programs):
    put, calls, _state, done = programs
    put(
        "apt-get",
        f"""case "$*" in
        *update*) echo "Hit:1 http://good.example.org/x y InRelease"; echo "Err:2 http://dead.example.org/x y";;
        *print-uris*) echo "'http://good.example.org/x/git.deb' git.deb 1 SHA256:a";;
        *--download-only*) ;; *install*) {done};; esac""",
    )
    apt.install(["git"])
    assert len(calls("--download-only")) == 1


def test_the_first_reason_is_told_and_not_what_follows_from_it(programs, monkeypatch):
    put, calls, _state, _done = programs
    monkeypatch.setattr(apt, "_has_fresh_lists", lambda: True)
    put("apt-get", f'case "$*" in *--download-only*) ;; *install*) cat <<"END"\n{DISK_FULL}END\nexit 100;; esac')
    with pytest.raises(apt.AptError) as raised:
        apt.install(["git"])
    assert raised.value.code == "disk-full" and not calls("update")


def test_nothing_is_removed_in_order_to_install(programs):
    put, calls, _state, done = programs
    put("apt-get", done)
    apt.install(["git"])
    assert all("--no-remove" in call for call in calls(" install "))


def test_what_was_left_undone_is_finished_first(programs):
    put, calls, state, done = programs
    state.update(unfinished=["libc6-dev"], interrupted=True)
    put("apt-get", f'case "$*" in *--download-only* | *--fix-broken*) ;; *install*) {done};; esac')
    apt.install(["git"])
    first, second, *_rest = calls()
    assert first.startswith("dpkg ") and "--configure -a" in first
    assert "--fix-broken" in second and "--no-remove" in second


def test_what_is_half_unpacked_is_installed_anew_before_what_depends_on_it_is_set_up(programs, monkeypatch):
    put, calls, state, done = programs
    state.update(unfinished=["libtiff6", "libdeflate0"], interrupted=True)
    monkeypatch.setattr(apt, "known_packages", lambda: {"libtiff6": ("iU ", "1"), "libdeflate0": ("iHR", "1")})
    put("apt-get", f'case "$*" in *--download-only* | *--fix-broken*) ;; *install*) {done};; esac')
    apt.install(["git"])
    _configure, anew, fixed, *_rest = calls()
    assert anew.endswith("-- libdeflate0") and "--reinstall" in anew and "--no-remove" in anew
    assert "--reinstall" not in fixed and "--fix-broken" in fixed


@pytest.mark.parametrize(("status", "how"), [("pH ", "--purge"), ("rH ", "--remove"), ("pHR", "--purge")])
def test_what_is_half_removed_goes_first_since_apt_takes_it_for_installed(programs, monkeypatch, status, how):
    put, calls, state, done = programs
    state.update(unfinished=["libgomp1"])
    monkeypatch.setattr(apt, "known_packages", lambda: {"libgomp1": (status, "1"), "git": ("rc ", "1")})
    put("apt-get", done)
    apt.install(["git"])
    assert calls()[0].endswith(f"{how} libgomp1") and not calls("--reinstall")


def test_another_package_that_cannot_be_set_up_does_not_matter(programs):
    put, _calls, state, done = programs
    state.update(unfinished=["foo"])
    put("apt-get", f"{done}; printf '%s' \"{SCRIPT}\"; exit 100")
    apt.install(["git"])


def test_a_lock_that_apt_does_not_wait_for_itself_is_waited_for(programs, monkeypatch):
    put, calls, _state, done = programs
    monkeypatch.setattr(apt.time, "sleep", lambda seconds: None)
    put(
        "apt-get",
        f"""case "$*" in *update*)
        [ $(grep -c update "${{0%/*}}/../calls") -gt 2 ] || {{ echo "E: Could not get lock lists/lock"; exit 100; }};;
        *) {done};; esac""",
    )
    apt.install(["git"], lock_timeout=60)
    assert len(calls("update")) == 3


@pytest.mark.parametrize(
    ("said", "tries"),
    [
        ("Waiting for cache lock: Could not get lock /x. It is held by process 7\nE: Unable to locate package git", 1),
        (
            "E: Could not open lock file /x - open (30: Read-only file system)\n"
            "E: Unable to acquire the dpkg lock (/x)",
            1,
        ),
    ],
)
def test_nothing_else_is_taken_for_a_lock_that_somebody_holds(programs, monkeypatch, said, tries):
    put, calls, _state, _done = programs
    monkeypatch.setattr(apt.time, "sleep", lambda seconds: None)
    put("apt-get", f"cat << 'END'\n{said}\nEND\nexit 100")
    with pytest.raises(apt.AptError):
        apt.install(["git"], lock_timeout=60)
    assert len(calls("update")) == tries


def test_a_machine_without_apt_gets_a_sentence(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(apt.AptError) as raised:
        apt.install(["git"])
    assert raised.value.code == "no-apt"
    monkeypatch.setattr(apt.shutil, "which", lambda name, path=None: None)
    assert apt.candidate("mrtrix3") == ("", "")


def test_a_password_in_an_address_is_never_told(programs):
    put, _calls, _state, _done = programs
    put("apt-get", "echo 'E: Failed to fetch https://me:sesame@x.example.org/a  403  Forbidden'; exit 100")
    with pytest.raises(apt.AptError) as raised:
        apt.install(["git"])
    assert "sesame" not in raised.value.message + raised.value.said + raised.value.hint


def test_configuration_that_was_there_is_left(programs, monkeypatch):
    put, calls, _state, _done = programs
    put("dpkg", "exit 0")
    monkeypatch.setattr(apt, "known_packages", lambda: {"ours": ("ii", "1"), "kept": ("ii", "1"), "gone": ("rc", "1")})
    apt.remove(["ours", "kept", "gone"], keeping=["kept"])
    assert [call.split()[2:] for call in calls("dpkg")] == [["--remove", "ours", "kept"], ["--purge", "ours"]]


def test_what_dpkg_refuses_to_remove_is_told(programs, monkeypatch):
    put, _calls, _state, _done = programs
    put("dpkg", "printf 'dpkg: error processing package git (--purge):\\n it is odd\\n'; exit 1")
    monkeypatch.setattr(apt, "known_packages", lambda: {"git": ("ii", "1")})
    with pytest.raises(apt.AptError) as raised:
        apt.remove(["git"])
    assert raised.value.code == "apt-failed" and "git: it is odd" in raised.value.message


def test_packages_are_kept_from_autoremove_as_long_as_they_are_noted(programs, monkeypatch, tmp_path):
    put, calls, _state, _done = programs
    put("apt-mark", "exit 0")
    monkeypatch.setattr(apt, "PROTECTED", str(tmp_path / "protected"))
    apt.protect(["g++", "zlib1g:i386"])
    apt.protect(["git"])
    assert calls("apt-mark") == ["apt-mark auto g++ zlib1g:i386", "apt-mark auto git"]
    lines = (tmp_path / "protected").read_text().splitlines()[1:]
    assert lines == [f'APT::NeverAutoRemove:: "^{name}$";' for name in (r"g\+\+", "git", "zlib1g")]
    assert stat.S_IMODE((tmp_path / "protected").stat().st_mode) == 0o644
    apt.unprotect(["g++", "zlib1g:i386"])
    assert "git" in (tmp_path / "protected").read_text() and "zlib1g" not in (tmp_path / "protected").read_text()
    apt.unprotect(["git"])
    assert not (tmp_path / "protected").exists()


def test_the_version_that_apt_would_install_is_known_or_why_not(programs):
    put, _calls, _state, _done = programs
    put("apt-cache", "printf 'mrtrix3:\\n  Installed: (none)\\n  Candidate: 3.0.3-1\\n'")
    assert apt.candidate("mrtrix3") == ("3.0.3-1", "")
    put("apt-cache", "printf 'mrtrix3:\\n  Installed: (none)\\n  Candidate: (none)\\n'")
    put("apt-get", "echo \"E: The repository 'x' is not signed.\"; exit 100")
    version, problem = apt.candidate("mrtrix3")
    assert version == "" and "mrtrix3" in problem and "The repository 'x' is not signed" in problem
