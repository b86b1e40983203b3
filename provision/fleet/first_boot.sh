
# Above is what was asked for. Run this again to resume; a finished run changes nothing.

export HOME="${HOME:-/root}" LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
umask 022
home=/opt/provision/$(printf %.12s "$sha256")
tries=5 pause=10

die() { printf 'Error: %s\n' "$*" >&2; exit 1; }

retry() {
  left=$tries
  until "$@"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    sleep "$pause"
  done
}

install_venv_module() {
  apt-get update -qq && apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$1"
}

find_python() {
  python=python3
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || python=python3.11
  "$python" -c 'import ensurepip, venv' 2> /dev/null || retry install_venv_module "$python-venv" > /dev/null ||
    die "Python 3.11 or newer is needed, and apt-get could not install $python-venv."
}

download() {
  "$python" - "$url" "$sha256" "$1" "$tries" "$pause" << 'PYTHON'
import hashlib, http.client, shutil, sys, time, urllib.request

url, wanted, path, tries, pause = sys.argv[1:]
for left in reversed(range(int(tries))):
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, open(path, "wb") as file:
            shutil.copyfileobj(answer, file)
        break
    except (OSError, http.client.HTTPException) as error:
        if not left:
            sys.exit(f"Error: {url} could not be downloaded: {error}.")
        time.sleep(int(pause))
with open(path, "rb") as file:
    found = hashlib.file_digest(file, "sha256").hexdigest()
if found != wanted:
    sys.exit(f"Error: {url} has the SHA-256 {found}, not {wanted}.")
PYTHON
}

# An archive of the project has a lock with hashes, which its bootstrap installs from; a wheel has none.
install_provision() {
  case $file in
    *.whl)
      "$python" -m venv "$home/.venv"
      retry "$home/.venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check "$home/$file" ||
        die "pip could not install $file."
      ;;
    *)
      tar -xz --no-same-owner --no-same-permissions --strip-components=1 -C "$home" -f "$home/$file" ||
        die "$file could not be unpacked."
      export PROVISION_PYTHON="$python"
      retry sh "$home/bootstrap" || die "$file could not be installed."
      ;;
  esac
}

[ "$(id -u)" = 0 ] || die "this needs root."
if [ ! -e "$home/.installed" ]; then
  rm -rf "$home"
  mkdir -p "$home"
  find_python
  download "$home/$file"
  install_provision
  rm "$home/$file"
  : > "$home/.installed"
fi
link=/usr/local/bin/provision
if [ -L "$link" ] || [ ! -e "$link" ]; then ln -sfn "$home/.venv/bin/provision" "$link"; fi
exec "$home/.venv/bin/provision" run "$@"
