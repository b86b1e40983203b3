"""Print how this machine's pip reaches packages as variables for uv, which does not read pip's configuration.

It is for bootstrap::

    eval "$(.venv/bin/python -I requirements/uv_settings.py)"
"""

from __future__ import annotations

import ast
import os
import shlex
import subprocess
import sys

# By pip's option, uv's variable and what separates the values in it.
VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "no-index": ("UV_NO_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "proxy": ("ALL_PROXY", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
}
# In the order in which pip reads them: a later one counts.
SECTIONS = ("global", "install", ":env:")
# As pip does: the authorities that this system trusts, and all indexes for each package, which its hash tells apart.
ALWAYS = {"UV_NATIVE_TLS": "true", "UV_INDEX_STRATEGY": "unsafe-best-match"}


def options(text: str) -> dict[str, str]:
    """Return pip's options from what ``pip config list`` prints."""
    found = {}
    for section in SECTIONS:
        for line in text.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(f"{section}."):
                found[name.removeprefix(f"{section}.")] = str(ast.literal_eval(value))
    return found


def variables(text: str) -> dict[str, str]:
    """Return uv's variables."""
    given = options(text)
    names = [name for name in VARIABLES if given.get(name)]
    return ALWAYS | {VARIABLES[name][0]: VARIABLES[name][1].join(given[name].split()) for name in names}


def main() -> None:
    """Print them for a shell; what the caller has set for uv itself counts more."""
    pip = [sys.executable, "-I", "-m", "pip", "--disable-pip-version-check", "config", "list"]
    listed = subprocess.run(pip, capture_output=True, text=True, check=True).stdout
    for name, value in variables(listed).items():
        if name not in os.environ or not name.startswith("UV_"):
            print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
