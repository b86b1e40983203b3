"""Notebooks that are run in a machine's kernel without a browser, and what stands below their cells."""

from __future__ import annotations

import json

from box import Box

RUN = """
import json, sys, nbclient, nbformat
notebook = nbformat.reads(sys.stdin.read(), as_version=4)
nbclient.NotebookClient(notebook, kernel_name="python3", timeout=int(sys.argv[1]), allow_errors=True).execute()
print(json.dumps({cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}))
"""


def run_notebook(box: Box, notebook: dict, *, seconds: int, **options) -> dict[str, list[dict]]:
    """Run a notebook in a kernel of the project's environment; return the outputs of its cells by their identities.

    An error ends none but its own cell, which may take the `seconds`. `options` are those of `Box.run`.
    """
    box.write("/srv/cells.py", RUN)
    command = f"{box.project}/.venv/bin/python /srv/cells.py {seconds}"
    return json.loads(box.run(command, input=json.dumps(notebook), **options).stdout.splitlines()[-1])


def run_cells(box: Box, cells: list[str], *, seconds: int, **options) -> list[list[dict]]:
    """Do the same with the cells alone."""
    found = [
        {"cell_type": "code", "id": str(number), "metadata": {}, "execution_count": None, "outputs": [], "source": cell}
        for number, cell in enumerate(cells)
    ]
    notebook = {"cells": found, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return list(run_notebook(box, notebook, seconds=seconds, **options).values())


def said(outputs: list[dict]) -> str:
    """Return what a cell says in words."""
    return "".join(one.get("text") or one.get("evalue") or one.get("data", {}).get("text/plain", "") for one in outputs)


def has_failed(outputs: list[dict]) -> bool:
    """Tell whether a cell has ended with an error."""
    return any(one["output_type"] == "error" for one in outputs)
