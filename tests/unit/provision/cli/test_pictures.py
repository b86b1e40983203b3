"""The commands that draw a picture, with a picture of our own in place of a drawn one."""

from __future__ import annotations

import io
import json
import sys
import warnings
from pathlib import Path

import pytest

pytest.importorskip("numpy")

import numpy as np

import provision as package
from provision.cli import completion, main, pictures
from provision.errors import ProvisionError
from provision.pictures import terminal
from provision.pictures.mrtrix3 import ImageWarning
from provision.pictures.picture import Picture


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """What the functions were called with; they draw a black picture."""
    calls = []

    def draw(*files, **given):
        calls.append((*files, given))
        return Picture.of(np.zeros((2, 3, 3), np.uint8), "nothing")

    for name in pictures.COMMANDS:
        monkeypatch.setattr(package, name, draw, raising=False)
    monkeypatch.chdir(tmp_path)
    return calls


def provision(line: str) -> int:
    return main.main(line.split())


@pytest.mark.parametrize("command", pictures.COMMANDS)
def test_a_picture_is_written_to_its_file_and_told_of(drawn, tmp_path, capsys, command):
    assert provision(f"{command} a.nii -o a.png") == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == "a.png: nothing\n"
    assert drawn == [("a.nii", {})]  # what is not given has the function's default


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("peek a.nii --plane axial --focus 1,,3 --volume 4", {"plane": "axial", "focus": [1, None, 3], "volume": 4}),
        ("peek a.nii --range -1,2.5 --no-crosshair --no-smooth",
         {"range": [-1, 2.5], "crosshair": False, "smooth": False}),
        ("peek a.nii --percentiles 1,99 --colourmap hot --size 600",
         {"percentiles": [1, 99], "colourmap": "hot", "size": 600}),
        ("peek a.nii --slices 12", {"slices": 12}),
        ("peek a.nii --slices 20,24,28", {"slices": [20, 24, 28]}),
        ("peek a.nii --slices 20,", {"slices": [20]}),
        ("peek a.nii --overlay b,c.nii --overlay d.nii --threshold .2 --opacity 0.5",
         {"overlay": ["b,c.nii", "d.nii"], "threshold": 0.2, "opacity": 0.5}),
        ("peek a.nii --overlay b.nii --overlay-range -.5,.5 --overlay-colourmap RdBu",
         {"overlay": ["b.nii"], "overlay_range": [-0.5, 0.5], "overlay_colourmap": "RdBu"}),
        ("glyphs a.nii --slice 3 --region 30:38,40:48", {"slice": 3, "region": "30:38,40:48"}),
        ("glyphs a.nii --kind tensor --region -20:20,-30:10mm", {"kind": "tensor", "region": "-20:20,-30:10mm"}),
        ("glyphs a.nii --region all --plane sagittal", {"region": "all", "plane": "sagittal"}),
        ("glyphs a.nii --background b.nii --scale 2 --size 300", {"background": "b.nii", "scale": 2, "size": 300}),
        ("tracks a.nii --plane coronal --slice 9 --thickness 2.5 --number 500 --size 300",
         {"plane": "coronal", "slice": 9, "thickness": 2.5, "number": 500, "size": 300}),
        ("qc a.nii --bvals b --bvecs c --mask d.nii --size 700",
         {"bvals": "b", "bvecs": "c", "mask": "d.nii", "size": 700}),
    ],
)  # fmt: skip
def test_what_is_written_is_what_the_function_is_given(drawn, line, given):
    assert provision(f"{line} -o a.png") == 0
    assert drawn == [("a.nii", given)]


def test_tracks_may_have_an_image_behind_them(drawn):
    assert provision("tracks a.tck b.nii -o a.png") == 0
    assert drawn == [("a.tck", "b.nii", {})]


def test_flags_of_peek_are_the_parameters_of_its_function():
    import inspect

    from provision.cli import flags
    from provision.pictures.peek import peek

    ours = {action.dest for action in flags.subcommands(main._parser(None))["peek"]._actions}
    parameters = set(inspect.signature(peek).parameters) - {"image", "figure", "interactive"}
    assert ours - {"path", "output", "dpi", "json", "help"} == parameters


def test_dpi_is_that_of_the_file(drawn, tmp_path):
    from PIL import Image

    assert provision("peek a.nii -o a.png --dpi 300") == 0
    with Image.open(tmp_path / "a.png") as image:
        assert round(image.info["dpi"][0]) == 300


def test_json_is_all_there_is_on_standard_output(drawn, capsys):
    assert provision("glyphs a.nii -o a.png --json") == 0
    assert json.loads(capsys.readouterr().out) == {"file": "a.png", "width": 3, "height": 2, "alt": "nothing"}


def test_a_terminal_gets_the_picture_itself(drawn, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), write_through=True)
    out.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(terminal, "encoded", lambda picture: b"<graphics>\n")
    assert provision("peek a.nii") == 0
    assert out.buffer.getvalue() == b"<graphics>\nnothing\n"


def test_without_a_terminal_nothing_is_drawn_and_the_file_is_named(drawn, capsys):
    assert provision("peek a.nii") == 1
    assert "provision peek a.nii -o picture.png" in capsys.readouterr().err
    assert drawn == []


def test_what_is_odd_about_an_image_is_one_line(monkeypatch, tmp_path, capfd):
    def odd(*_, **__):
        warnings.warn("a.nii: qform and sform\n differ", ImageWarning, stacklevel=2)
        warnings.warn("a.nii: no name", UserWarning, stacklevel=2)
        return Picture.of(np.zeros((2, 3, 3), np.uint8), "nothing")

    monkeypatch.setattr(package, "peek", odd)
    monkeypatch.chdir(tmp_path)
    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # pytest collects them otherwise
        assert provision("peek a.nii -o a.png --json") == 0
    said = capfd.readouterr()
    assert said.err == "Warning: a.nii: qform and sform differ\nWarning: a.nii: no name\n"
    assert json.loads(said.out)["alt"] == "nothing" and warnings.showwarning is before


def test_examples_in_help_are_right_usage(drawn, monkeypatch):
    monkeypatch.setattr(terminal, "check", lambda _: None)
    monkeypatch.setattr(terminal, "encoded", lambda _: b"")
    monkeypatch.setattr(Picture, "save", lambda self, path, dpi=None: path)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    examples = (pictures._PEEK_EXAMPLES, pictures._GLYPHS_EXAMPLES, pictures._TRACKS_EXAMPLES, pictures._QC_EXAMPLES)
    lines = [line for text in examples for line in text.splitlines() if "provision" in line]
    lines = [line.split("   ")[0].strip().removeprefix("provision ") for line in map(str.strip, lines)]
    assert len(lines) > 12
    assert [provision(line) for line in lines] == [0] * len(lines)


def test_colour_maps_that_are_completed_exist():
    matplotlib = pytest.importorskip("matplotlib")
    assert [name for name in completion._COLOURMAPS if name not in matplotlib.colormaps] == []


@pytest.mark.parametrize(
    ("line", "code", "values"),
    [
        ("peek", "usage", ["FILE"]),
        ("peek a.nii --volume x -o a.png", "bad-value", ["--volume", "'x'"]),
        ("peek a.nii --range 1,b -o a.png", "bad-value", ["--range", "'1,b'"]),
        ("peek a.nii --overlay-range b -o a.png", "bad-value", ["--overlay-range", "'b'"]),
        ("peek a.nii --slices 1,b -o a.png", "bad-value", ["--slices", "'1,b'"]),
        ("peek a.nii --dpi high -o a.png", "bad-value", ["--dpi", "'high'"]),
        ("peek a.nii --dpi 300", "usage", ["--dpi", "-o"]),
        ("peek a.nii --slice 3 -o a.png", "no-option", ["--slice", "peek"]),
        ("peek a.nii --plot x -o a.png", "no-option", ["--plot", "peek"]),
        ("glyphs a.nii --regoin 1,2,3,4", "no-option", ["--regoin", "glyphs", "'--region'"]),
        ("peek a.nii b.nii -o a.png", "usage", ["'b.nii'", "peek"]),
        ("tracks a.tck b.nii c.nii -o a.png", "usage", ["'c.nii'", "tracks"]),
    ],
)
def test_a_wrong_line_is_told_in_a_sentence(drawn, capsys, line, code, values):
    assert provision(f"{line} --json") == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == code
    assert [value for value in values if value not in f"{error['message']} {error['hint']}"] == []


@pytest.mark.parametrize("command", pictures.COMMANDS)
@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ("-o a.jpg", "unknown-format"), ("-o folder.png", "not-a-file"), ("-o none/a.png", "no-folder"),
        ("-o ~nobody-here/a.png", "no-folder"), ("-o a.png --dpi 1", "bad-value"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_drawn(drawn, capsys, command, flags, code):
    Path("folder.png").mkdir()
    assert provision(f"{command} a.nii {flags} --json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code
    assert drawn == []


def test_what_fails_has_the_exit_code_of_a_failure(monkeypatch, capsys):
    def fail(*_, **__):
        raise ProvisionError("It broke.", hint="Mend it.")

    monkeypatch.setattr(package, "peek", fail)
    assert provision("peek a.nii -o a.png") == 1
    assert capsys.readouterr().err == "Error: It broke.\nMend it.\n"
