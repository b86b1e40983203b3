"""What a terminal would draw is what the decoder gives, to the pixel."""

import os
import re

import numpy as np
import pytest
from PIL import Image

from provision.errors import ProvisionError
from provision.pictures import sixel


@pytest.fixture
def library():
    """The libsixel that PROVISION_TEST_SIXEL names, else the system's."""
    path = os.environ.get("PROVISION_TEST_SIXEL")
    try:
        sixel._functions(path or "")
    except ProvisionError as error:
        if path:
            raise
        pytest.skip(f"{error.message} PROVISION_TEST_SIXEL can name its file.")
    return path


def encoded(picture: np.ndarray) -> bytes:
    """A picture of palette indices, shape (H, W), as mrpeek writes it: index n is n % of grey."""
    lines = [b"\x1bP9;1q$"]
    lines += [b"#%d;2;%d;%d;%d" % (colour, colour, colour, colour) for colour in np.unique(picture)]
    for top in range(0, len(picture), 6):
        band = picture[top : top + 6]
        rows = []
        for colour in np.unique(band):
            bits = sum((band[row] == colour).astype(int) << row for row in range(len(band)))
            rows.append(b"#%d" % colour + bytes(63 + int(column) for column in bits))
        lines.append(b"$".join(rows) + b"-")
    return b"".join(lines) + b"\x1b\\"


def painted(data: bytes) -> np.ndarray:
    """What a terminal paints of what `encode` writes, by the rules of DEC STD 070, with nothing left unpainted."""
    width, height, body = re.fullmatch(rb'\x1bPq"1;1;(\d+);(\d+)(.*)\x1b\\', data, re.DOTALL).groups()
    canvas, colours, colour, left, top = np.full((int(height), int(width), 3), np.nan), {}, 0, 0, 0
    for index, percent, count, sixel_, control in re.findall(
        rb"#(\d+)(?:;2;(\d+;\d+;\d+))?|(?:!(\d+))?([?-~])|([$-])", body
    ):
        if index:
            colour = int(index)
            if percent:
                colours[colour] = [int(part) * 2.55 for part in percent.split(b";")]
        elif sixel_:
            right = left + int(count or 1)
            for bit in range(6):
                if sixel_[0] - 63 >> bit & 1:
                    canvas[top + bit, left:right] = colours[colour]
            left = right
        else:
            left, top = 0, top + 6 * (control == b"-")
    assert not np.isnan(canvas).any()
    return canvas


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 101, (height, width))


@pytest.mark.parametrize("height", [1, 5, 6, 7, 12, 13])
def test_a_picture_has_its_own_height_whatever_its_bands_of_six_rows(library, height):
    assert sixel.decode(encoded(picture(height, 9)), library).shape == (height, 9, 3)


def test_every_percent_of_grey_is_told_apart(library):
    shades = np.arange(101).reshape(1, -1)
    grey = sixel.decode(encoded(shades), library)[0]
    np.testing.assert_allclose(grey[:, 0], np.arange(101) * 2.55, atol=0.51)
    assert len(np.unique(grey[:, 0])) == 101


def test_every_pixel_is_in_its_place(library):
    drawn = sixel.decode(encoded(picture(13, 17)), library)
    np.testing.assert_allclose(drawn[..., 1], picture(13, 17) * 2.55, atol=0.51)


def test_what_is_left_unpainted_is_black(library):
    drawn = sixel.decode(b"\x1bPq#1;2;100;0;0-#1@\x1b\\", library)
    assert drawn[:, 0].tolist() == [[0, 0, 0]] * 6 + [[255, 0, 0]]


def test_text_around_a_picture_is_passed_over(library):
    data = b"\x1b[2K138\x1b[0m\n\x1b[2G" + encoded(picture(4, 4)) + b"\x1b[1B\rindex: [ 1 2 3 ]\n"
    assert sixel.decode(data, library).shape == (4, 4, 3)


def test_two_pictures_are_put_one_under_the_other_on_black(library):
    first, second = np.full((3, 2), 100), np.full((4, 5), 50)
    drawn = sixel.decode(encoded(first) + b"\n0.5\n" + encoded(second), library)
    assert drawn.shape == (7, 5, 3)
    assert (drawn[:3, :2] == 255).all()
    assert (drawn[:3, 2:] == 0).all()
    assert (drawn[3:] == 128).all()


@pytest.mark.parametrize("data", [b"", b"mrpeek: [ERROR] no image", encoded(picture(4, 4))[:-2]])
def test_data_without_a_whole_picture_are_refused(library, data):
    with pytest.raises(ProvisionError) as refused:
        sixel.decode(data, library)
    assert refused.value.code == "mrpeek-failed"


def test_a_library_that_is_not_there_is_named_with_how_to_install_it():
    with pytest.raises(ProvisionError) as refused:
        sixel.decode(encoded(picture(1, 1)), "/nowhere/libsixel.so")
    assert refused.value.code == "no-library" and "/nowhere/libsixel.so" in refused.value.message
    assert 'provision.run("mrpeek")' in refused.value.hint


def test_a_system_without_libsixel_is_told_how_to_install_it(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(sixel.ctypes, "CDLL", missing)
    sixel._functions.cache_clear()
    with pytest.raises(ProvisionError) as refused:
        sixel.decode(encoded(picture(1, 1)))
    assert refused.value.code == "no-library" and "libsixel" in refused.value.message
    assert 'provision.run("mrpeek")' in refused.value.hint


def test_text_is_given_without_the_pictures():
    data = b"138\n" + encoded(picture(4, 4)) + b"0.5\n"
    assert sixel.without_pictures(data).split() == [b"138", b"0.5"]


@pytest.mark.parametrize(("height", "colours"), [(1, 1), (6, 50), (7, 50), (13, 256)])
def test_every_pixel_is_encoded_in_its_colour_to_one_per_cent(height, colours):
    shades = np.random.default_rng(0).integers(0, 256, (colours, 3), dtype=np.uint8)
    pixels = shades[np.random.default_rng(1).permutation(np.arange(height * 40) % colours).reshape(height, 40)]
    drawn = painted(sixel.encode(Image.fromarray(pixels)))
    assert drawn.shape == pixels.shape and np.abs(drawn - pixels).max() <= 1.3


def test_libsixel_reads_what_is_encoded(library):
    pixels = np.random.default_rng(0).integers(0, 256, (13, 19, 3), dtype=np.uint8)
    data = sixel.encode(Image.fromarray(pixels))
    np.testing.assert_allclose(sixel.decode(data, library), painted(data), atol=0.51)


def test_a_picture_of_more_colours_than_a_terminal_has_is_encoded_nearly_the_same():
    ramp = np.stack(np.meshgrid(np.arange(0, 256, 2), np.arange(0, 256, 2), [90]), axis=-1)[:, :, 0].astype(np.uint8)
    assert np.abs(painted(sixel.encode(Image.fromarray(ramp))) - ramp).mean() < 10


def test_encoding_needs_no_library_and_writes_long_runs_once(monkeypatch):
    monkeypatch.setattr(sixel, "_functions", lambda library: pytest.fail("libsixel was asked for"))
    data = sixel.encode(Image.new("RGB", (100, 6), (255, 0, 0)))
    assert data == b'\x1bPq"1;1;100;6#0;2;100;0;0#0!100~\x1b\\'
