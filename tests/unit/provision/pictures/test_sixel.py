"""What is encoded as sixel graphics is the picture, to the pixel."""

import io
import os
import re

import numpy as np
import pytest
from PIL import Image

from provision.machine import sixel as binding
from provision.pictures import sixel
from provision.pictures.picture import Picture


def encoded(pixels: np.ndarray) -> bytes:
    return sixel.encode(Picture.of(pixels, "").png)


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


@pytest.mark.parametrize(("height", "colours"), [(1, 1), (6, 50), (7, 50), (13, 256)])
def test_every_pixel_is_encoded_in_its_colour_to_one_per_cent(height, colours):
    shades = np.random.default_rng(0).integers(0, 256, (colours, 3), dtype=np.uint8)
    pixels = shades[np.random.default_rng(1).permutation(np.arange(height * 40) % colours).reshape(height, 40)]
    drawn = painted(encoded(pixels))
    assert drawn.shape == pixels.shape and np.abs(drawn - pixels).max() <= 1.3


def test_libsixel_reads_what_is_encoded():
    try:
        library = binding.load(os.environ.get("PROVISION_TEST_SIXEL") or binding.SONAME)
    except OSError as error:
        pytest.skip(f"{error}. PROVISION_TEST_SIXEL can name its file.")
    data = encoded(np.random.default_rng(0).integers(0, 256, (13, 19, 3), dtype=np.uint8))
    width, height, indices, palette = binding.decode(data, library)
    table = np.frombuffer(palette, np.uint8).reshape(-1, 3)
    drawn = table[np.frombuffer(indices, np.uint8).reshape(height, width)]
    np.testing.assert_allclose(drawn, painted(data), atol=0.51)


def test_a_picture_of_more_colours_than_a_terminal_has_is_encoded_nearly_the_same():
    ramp = np.stack(np.meshgrid(np.arange(0, 256, 2), np.arange(0, 256, 2), [90]), axis=-1)[:, :, 0].astype(np.uint8)
    assert np.abs(painted(encoded(ramp)) - ramp).mean() < 10


def test_a_picture_with_opacity_is_encoded_without():
    stream = io.BytesIO()
    Image.new("RGBA", (4, 4), (255, 0, 0, 255)).save(stream, format="PNG")
    assert painted(sixel.encode(stream.getvalue()))[0, 0].round().tolist() == [255, 0, 0]


def test_long_runs_are_written_once():
    red = np.full((6, 100, 3), (255, 0, 0), np.uint8)
    assert encoded(red) == b'\x1bPq"1;1;100;6#0;2;100;0;0#0!100~\x1b\\'
