"""Whether a shell finds the commands of a tool, through PATH and links."""

from __future__ import annotations

import os

from ..reading import names_in
from .prefix import is_ours


def foreign_command(name):
    """Return the real path of a command on PATH that is not in a prefix of this user's, else an empty string."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.realpath(os.path.join(folder, name))
        prefix = os.path.dirname(os.path.dirname(path))
        if os.path.isfile(path) and os.access(path, os.X_OK) and not _is_this_users(prefix):
            return path
    return ""


def _is_this_users(prefix):
    return is_ours(prefix) and os.stat(prefix).st_uid == os.geteuid()


def path_problem(report, state):
    """Return why a shell does not find an installation's commands, with the line to type; else an empty string."""
    folder, link_dir = report.get("bin", ""), state.get("link_dir", "")
    names = [name for name in state.get("commands") or ["mrinfo"] if os.path.exists(os.path.join(folder, name))]
    found = _first_on_path(names)
    other = {name: found.get(name, "") for name in sorted(names) if not _is_that(found.get(name, ""), folder)}
    if not other:
        return ""
    # The link folder serves all tools at once, unless other files take the names.
    place = link_dir if link_dir and all(links_to(folder, os.path.join(link_dir, name)) for name in other) else folder
    line = line_to_type(place)
    if not any(other.values()):
        return f"{place} is not on PATH, so a shell does not find the commands there. Type: {line}"
    name, path = next((name, path) for name, path in other.items() if path)
    return f"In a shell, {name} is {path}, not the one in {folder}. Type: {line}"


def line_to_type(folder):
    """Return the line to type in the user's shell that puts a folder on PATH."""
    if os.environ.get("SHELL", "").endswith("fish"):
        return f"fish_add_path --path {folder}"
    return f'export PATH="{folder}:$PATH"'


def _is_that(path, folder):
    """Return whether a path on PATH is the command of that name in a folder."""
    own = os.path.join(folder, os.path.basename(path))
    return bool(path) and (path == own or links_to(folder, path) or os.path.realpath(path) == os.path.realpath(own))


def links_to(folder, path):
    """Return whether a path is a link to the command of that name in a folder."""
    return os.path.islink(path) and os.readlink(path) == os.path.join(folder, os.path.basename(path))


def _first_on_path(names):
    """Return {name: path} of the commands that a shell finds, as execvp(3) looks for them."""
    found = {}
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        for name in set(names).intersection(names_in(folder or ".")) - set(found):
            path = os.path.join(folder, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                found[name] = path
    return found


def missing_links(link_dir, commands):
    """Return the commands whose link in `link_dir` is missing; names that other files or links have are not."""
    # A link that leads nowhere may lead to a drive that is not mounted now.
    return [name for name in commands if not os.path.lexists(os.path.join(link_dir, name))]
