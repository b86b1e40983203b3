"""The commands `provision peek` and `provision glyphs`, with a picture of our own in place of a drawn one."""

from __future__ import annotations

import io
import json
import sys

import pytest

pytest.importorskip("numpy")

import numpy as np

from provision.cli import main, pictures
from provision.errors import ProvisionError
from provision.pictures import glyphs, peek, terminal
from provision.pictures.picture import Picture


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """What the functions were called with; they draw a black picture."""
    calls = []

    def draw(image, **given):
        calls.append((image, given))
        return Picture.of(np.zeros((2, 3, 3), np.uint8), "nothing")

    monkeypatch.setattr(peek, "peek", draw)
    monkeypatch.setattr(glyphs, "glyphs", draw)
    monkeypatch.chdir(tmp_path)
    return calls


def provision(line: str) -> int:
    return main.main(line.split())


def test_a_picture_is_written_to_its_file_and_told_of(drawn, tmp_path, capsys):
    assert provision("peek a.nii -o a.png") == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == "a.png: nothing\n"
    assert drawn == [("a.nii", {})]  # what is not given has the function's default


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("peek a.nii --plane axial --focus 1,,3 --volume 4", {"plane": "axial", "focus": [1, None, 3], "volume": 4}),
        ("peek a.nii --range -1,2.5 --no-crosshair --plot x", {"range": [-1, 2.5], "crosshair": False, "plot": "x"}),
        ("peek a.nii --percentiles 1,99 --colourmap hot --zoom 2",
         {"percentiles": [1, 99], "colourmap": "hot", "zoom": 2}),
        ("glyphs a.nii --slice 3 --region 1,2,3,4", {"slice": 3, "region": [[1, 2], [3, 4]]}),
        ("glyphs a.nii --background b.nii --scale 2 --size 300", {"background": "b.nii", "scale": 2, "size": 300}),
    ],
)  # fmt: skip
def test_what_is_written_is_what_the_function_is_given(drawn, line, given):
    assert provision(f"{line.replace('--range -1,2.5', '--range=-1,2.5')} -o a.png") == 0
    assert drawn == [("a.nii", given)]


def test_json_is_all_there_is_on_standard_output(drawn, capsys):
    assert provision("glyphs a.nii -o a.png --json") == 0
    assert json.loads(capsys.readouterr().out) == {"file": "a.png", "width": 3, "height": 2, "alt": "nothing"}


def test_a_terminal_that_can_gets_the_picture_itself(drawn, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), write_through=True)
    out.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(terminal, "shows_sixel", lambda: True)
    monkeypatch.setattr(terminal, "encoded", lambda picture: b"<sixel>\n")
    assert provision("peek a.nii") == 0
    assert out.buffer.getvalue() == b"<sixel>\nnothing\n"


def test_without_such_a_terminal_nothing_is_drawn_and_the_file_is_named(drawn, capsys):
    assert provision("peek a.nii") == 1
    assert "provision peek a.nii -o picture.png" in capsys.readouterr().err
    assert drawn == []


def test_examples_in_help_are_right_usage(drawn, monkeypatch, capsys):
    monkeypatch.setattr(terminal, "check", lambda _: None)
    monkeypatch.setattr(terminal, "encoded", lambda _: b"")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    examples = (pictures._PEEK_EXAMPLES + pictures._GLYPHS_EXAMPLES).splitlines()
    lines = [line.split("   ")[0].strip().removeprefix("provision ") for line in examples if "provision" in line]
    assert len(lines) > 6
    assert [provision(line) for line in lines] == [0] * len(lines)


@pytest.mark.parametrize(
    ("line", "code", "values"),
    [
        ("peek", "usage", ["FILE"]),
        ("peek a.nii --volume x -o a.png", "bad-value", ["'x'"]),
        ("peek a.nii --range 1,b -o a.png", "bad-value", ["--range", "'1,b'"]),
        ("peek a.nii --slice 3 -o a.png", "no-option", ["--slice", "peek"]),
        ("glyphs a.nii --regoin 1,2,3,4", "no-option", ["--regoin", "glyphs", "'--region'"]),
        ("peek a.nii b.nii -o a.png", "usage", ["'b.nii'", "peek"]),
        ("peek a.nii -o a.jpg", "unknown-format", ["a.jpg", ".png"]),
    ],
)
def test_a_wrong_line_is_told_in_a_sentence(drawn, capsys, line, code, values):
    assert provision(f"{line} --json") == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == code
    assert [value for value in values if value not in f"{error['message']} {error['hint']}"] == []


def test_what_fails_has_the_exit_code_of_a_failure(monkeypatch, capsys):
    def fail(*_, **__):
        raise ProvisionError("It broke.", hint="Mend it.")

    monkeypatch.setattr(peek, "peek", fail)
    assert provision("peek a.nii -o a.png") == 1
    assert capsys.readouterr().err == "Error: It broke.\nMend it.\n"
