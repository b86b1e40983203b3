"""Images and tracks in a notebook cell, turned and sliced by the browser itself with WebGL."""

from __future__ import annotations

import gzip
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision import extras
from provision.errors import OptionError, ProvisionError, no_such_file
from provision.notebook import in_notebook
from provision.pictures import images
from provision.words import did_you_mean, format_bytes

if TYPE_CHECKING:
    import numpy as np
    from ipyniivue import NiiVue

    from provision.pictures.images import Header, Image

TRACKS = (".tck", ".trk", ".trk.gz", ".tt", ".tt.gz", ".trx")
"""How the name of a file with tracks ends."""

LAYOUTS = ("all", "axial", "coronal", "sagittal", "3d")
"""What can be shown: three slices with a turning view beside them, or one of the four."""

LARGEST = 128_000_000
"""Bytes of voxels or of one file of tracks that are sent to a browser. The browser holds each several times, as it
came, as numbers and as a texture, and sends the numbers back to the notebook in pieces. As many of noise took Chromium
19 s and 0.9 GB of memory, of tracks 17 s and 2.2 GB, on two cores without a graphics card."""

LONGEST_SIDE = 2048
"""Voxels along one axis: what browsers take for a texture of three dimensions (MAX_3D_TEXTURE_SIZE)."""

HEIGHTS = (100, 2000)
"""Least and greatest height in pixels."""

_GREY, _OVERLAYS = "gray", ("warm", "winter", "green", "violet")
_OVERLAY_OPACITY = 0.5
# An overlay is brightest from this percentile of its positive values on, and invisible below this part of it.
_BRIGHTEST, _FAINT = 98, 0.2
# Slices show the tracks within this many voxels of them, where the whole bundle would hide the image.
_SLAB_VOXELS = 2.0
_WAYS_OUT = (
    "Make it coarser: mrgrid INPUT regrid coarse.mif -scale 0.5, or cut out a region: mrgrid INPUT crop region.mif "
    "-mask mask.mif, or look at slices: provision.peek."
)
_LONGEST_HEADER = 1 << 20
_DATATYPES = {"Float32LE": "<f4", "Float32BE": ">f4", "Float64LE": "<f8", "Float64BE": ">f8"}


# Compared by what they are, not by their voxels.
@dataclass(frozen=True, eq=False)
class _Item:
    """An image to show: what it was given as, how to speak of it, and its header."""

    source: Image
    name: str
    header: Header


@dataclass(frozen=True, eq=False)
class _Tracks:
    """A file of tracks to show, and how to speak of it."""

    source: Path
    name: str


def view(
    *sources: Image,
    colourmap: str | Sequence[str] | None = None,
    opacity: float | Sequence[float] | None = None,
    volume: int | Sequence[int] = 0,
    layout: str = "all",
    height: int = 480,
) -> NiiVue:
    """Show images and tracks laid over each other, in a notebook cell that can be turned, sliced and zoomed.

    The first image is grey. Those after it are coloured and half-transparent, and invisible where they are below a
    fifth of their brightest; of one with whole numbers, as a mask or labels, only what is not above 0 is. Tracks are
    lines coloured by their direction: red to the side, green to the front, blue up. The patient's right is on the left
    of an axial or coronal slice, and the front on the left of a sagittal one; the letters in a slice's corner say what
    is to its left and above.

    The mouse sets the cross-hair and turns the 3-D view; with the right button contrast is drawn; the wheel goes
    through the slices. Everything is sent to the browser once, so it works on without the notebook. A browser keeps
    about 16 such views; beyond that it blanks the oldest, until its cell is run again.

    Parameters
    ----------
    *sources : path-like, nibabel image or numpy.ndarray
        Images, as :func:`provision.pictures.images.loaded` takes them, and files of tracks (``.tck``, ``.trk``,
        ``.tt``, ``.trx``), in the order in which they are laid over each other. They are placed by their scanner
        coordinates.
    colourmap : str or sequence of str, optional
        Name of a colour map, such as ``"hot"``; the error for an unknown one lists them. One name is for the images
        over the first, or for the first if it is alone; a sequence has one for each image. Tracks have none.
    opacity : float or sequence of float, optional
        From 0, invisible, to 1. One number is for all over the first, or for the first if it is alone; a sequence has
        one for each image and each file of tracks. By default 1 for the first image and for tracks, 0.5 for others.
    volume : int or sequence of int, optional
        Which volume of an image with four axes is sent, counted from 0. The first is the mean of all directions in an
        image of spherical harmonics, and most often the one without weighting in a diffusion series. With several,
        the left and right arrow keys go through those of the first image once the view was clicked.
    layout : {'all', 'axial', 'coronal', 'sagittal', '3d'}, optional
        Three slices with a 3-D view beside them, or one of the four.
    height : int, optional
        Height of the view in pixels, 100 to 2000; it is as wide as the cell.

    Returns
    -------
    ipyniivue.NiiVue
        The widget, which a notebook shows as the value of a cell. It can be changed afterwards, for instance with
        ``viewer.volumes[1].opacity = 0.2`` or ``viewer.volumes[0].cal_max = 800``.

    Raises
    ------
    provision.errors.OptionError
        For what is no image and no file of tracks, is too large to be sent, or a value that is not allowed.
    provision.errors.ProvisionError
        When ipyniivue or nibabel is not installed, or this is no notebook.

    Examples
    --------
    >>> import provision
    >>> provision.view("t1.nii.gz", "fa.mif", "bundle.tck", opacity=0.4)  # doctest: +SKIP
    """
    items = [_item(source, number) for number, source in enumerate(sources, 1)]
    if not items:
        hint = 'Give an image: provision.view("fa.nii.gz").'
        raise OptionError("There is nothing to show.", hint=hint, code="nothing-to-show")
    shown = [item for item in items if isinstance(item, _Item)]
    tracks = [item for item in items if isinstance(item, _Tracks)]
    opacities = _opacities(opacity, items)
    _check_choice(layout, LAYOUTS, "layout")
    _check_height(height)
    ipyniivue = _import_ipyniivue()
    colourmaps = _colourmaps(colourmap, shown, _names_of_colourmaps(ipyniivue))
    frames = [_frames(item, volume) for item in shown]
    for item, chosen in zip(shown, frames, strict=True):
        _check_size(item, chosen)
    _check_notebook()

    volumes = [
        _volume(ipyniivue, item, chosen, colormap=name, opacity=opacities[item], is_overlay=item is not shown[0])
        for item, chosen, name in zip(shown, frames, colourmaps, strict=True)
    ]
    meshes = [_mesh(ipyniivue, item, opacities[item]) for item in tracks]
    viewer = ipyniivue.NiiVue(height=int(height), **_settings(ipyniivue, layout, shown))
    viewer.load_volumes(volumes)
    viewer.load_meshes(meshes)
    return viewer


# --- What was asked for ----------------------------------------------------------------------------------------------


def _item(source: Image, number: int) -> _Item | _Tracks:
    """Return what was given with its name, or say why it cannot be shown."""
    if not isinstance(source, str | os.PathLike):
        return _Item(source, f"image {number}", images.header(source))
    path = Path(source).expanduser()
    if path.name.endswith(TRACKS):
        _check_tracks(path)
        return _Tracks(path, path.name)
    if path.is_file() and not path.name.endswith(images.EXTENSIONS):
        raise OptionError(
            f"{source} is neither an image ({', '.join(images.EXTENSIONS)}) nor tracks ({', '.join(TRACKS)}) by the "
            "end of its name.",
            hint="Convert it with mrconvert or tckconvert.",
            code="unknown-format",
        )
    return _Item(path, path.name, images.header(source))


def _check_tracks(path: Path) -> None:
    if not path.is_file():
        raise no_such_file(path, str(path))
    size = path.stat().st_size
    if not size:
        raise OptionError(f"{path} is empty.", hint="Make it again.", code="damaged")
    if size > LARGEST:
        raise OptionError(
            f"{path} has {format_bytes(size)}, and a browser takes {format_bytes(LARGEST)} of tracks.",
            hint=f"Take some of them: tckedit {path.name} fewer.tck -number 10000.",
            code="too-large",
        )
    try:
        fits = _looks_like_tracks(path)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, struct.error):
        fits = False
    if not fits:
        raise OptionError(
            f"{path} does not hold tracks in the format that its name says.",
            hint="Check what it is.",
            code="bad-tracks",
        )


def _looks_like_tracks(path: Path) -> bool:
    """Return whether a file begins as its name says; what is in a .tck is read later.

    The formats: https://trackvis.org/docs/?subsect=fileformat, https://github.com/tee-ar-ex/trx-spec, and for .tt
    MATLAB's, level 4: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf.
    """
    if path.suffix == ".tck":
        return True
    if path.suffix == ".trx":
        with zipfile.ZipFile(path) as archive:
            return "header.json" in archive.namelist()
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        start = stream.read(1000)
    if ".trk" in path.suffixes:
        return start.startswith(b"TRACK") and start[996:] in (struct.pack("<i", 1000), struct.pack(">i", 1000))
    kind, rows, columns, imaginary, length = struct.unpack("<5i", start[:20])
    is_array = 0 <= kind < 5000 and rows > 0 and columns > 0 and imaginary in (0, 1)
    return is_array and 0 < length < 256 and start[19 + length : 20 + length] == b"\0"


def _opacities(opacity: float | Sequence[float] | None, items: list[_Item | _Tracks]) -> dict[_Item | _Tracks, float]:
    first = next((item for item in items if isinstance(item, _Item)), None)
    default = [1.0 if isinstance(item, _Tracks) or item is first else _OVERLAY_OPACITY for item in items]
    values = _one_each(opacity, default, "opacity", "things to show")
    for value in values:
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not (is_number and 0 <= value <= 1):
            raise OptionError(f"An opacity is a number from 0 to 1, not {value!r}.", code="bad-value")
    return dict(zip(items, map(float, values), strict=True))


def _colourmaps(colourmap: str | Sequence[str] | None, shown: list[_Item], known: list[str]) -> list[str]:
    overlays = [_OVERLAYS[number % len(_OVERLAYS)] for number in range(len(shown) - 1)]
    values = _one_each(colourmap, [_GREY, *overlays][: len(shown)], "colourmap", "images")
    names = [_GREY if value == "grey" else value for value in values]
    for name in names:
        _check_choice(name, known, "colourmap")
    return names


def _one_each(value: Any, default: list, option: str, things: str) -> list:
    """Return a value for each thing: those given, or the one given for all over the first."""
    if value is None:
        return default
    if not isinstance(value, list | tuple):
        return [*default[:1], *[value] * (len(default) - 1)] if len(default) > 1 else [value] * len(default)
    if len(value) != len(default):
        message = f"There are {len(value)} values of {option} for {len(default)} {things}; give one for each."
        raise OptionError(message, code="bad-value")
    return list(value)


def _check_choice(name: Any, allowed: Sequence[str], option: str) -> None:
    if name not in allowed:
        hint = did_you_mean(name, allowed) if isinstance(name, str) else ""
        raise OptionError(
            f"There is no {option} {name!r}; there are {', '.join(allowed)}.", hint=hint, code="bad-value"
        )


def _check_height(height: Any) -> None:
    least, most = HEIGHTS
    is_whole = isinstance(height, Integral) and not isinstance(height, bool)
    if not (is_whole and least <= height <= most):
        message = f"The height is a whole number of pixels from {least} to {most}, not {height!r}."
        raise OptionError(message, code="bad-value")


def _frames(item: _Item, volume: int | Sequence[int]) -> list[int] | None:
    """Return which volumes of an image to send, or None when it has but one."""
    header = item.header
    if len(header.shape) == 3:
        return None
    if len(header.shape) > 4:
        size = " x ".join(map(str, header.shape))
        message = f"{item.name} has the size {size}, but no more than four axes can be shown."
        raise OptionError(message, code="wrong-image")
    frames = [volume] if isinstance(volume, str) or not isinstance(volume, Iterable) else list(volume)
    for frame in frames:
        if isinstance(frame, bool) or not isinstance(frame, Integral) or not 0 <= frame < header.volumes:
            raise OptionError(
                f"{item.name} has {header.volumes} volumes, 0 to {header.volumes - 1}, and none of them is {frame!r}.",
                code="bad-value",
            )
    if not frames:
        raise OptionError("A volume at least is to be chosen.", hint="The first is volume=0.", code="bad-value")
    return frames


def _check_size(item: _Item, frames: list[int] | None) -> None:
    """Refuse what a browser would choke on, before its voxels are read."""
    shape = item.header.shape[:3]
    size = " x ".join(map(str, shape))
    if max(shape) > LONGEST_SIDE:
        raise OptionError(
            f"{item.name} has {size} voxels, and a browser takes {LONGEST_SIDE} along one axis.",
            hint=_WAYS_OUT,
            code="too-large",
        )
    count = len(frames) if frames else 1
    # The colours of a voxel take four bytes, and so does a value of float32.
    needed = 4 * math.prod(shape) * count
    if needed > LARGEST:
        number = f"{count} volumes of {size}" if count > 1 else size
        raise OptionError(
            f"{item.name} has {number} voxels, {format_bytes(needed)}, and a browser takes {format_bytes(LARGEST)}.",
            hint="Choose fewer volumes." if count > 1 else _WAYS_OUT,
            code="too-large",
        )


# --- Where it is shown -----------------------------------------------------------------------------------------------


def _import_ipyniivue():
    extras.require("view", "Images in the browser", "ipyniivue")
    import ipyniivue

    return ipyniivue


def _check_notebook() -> None:
    """Say so where nothing would show a widget.

    In Google Colab anywidget, which ipyniivue stands on, enables the manager of custom widgets by itself.
    """
    if not in_notebook():
        raise ProvisionError(
            "There is no notebook here that could show this.",
            hint="Call it in a cell of JupyterLab or Google Colab; provision.peek shows slices in a terminal.",
            code="no-notebook",
        )


def _names_of_colourmaps(ipyniivue) -> list[str]:
    """Return the names of the colour maps that come with ipyniivue, without those for its own use."""
    folder = Path(ipyniivue.__file__).parent / "static" / "colormaps"
    return sorted(path.stem for path in folder.glob("*.json") if path.stem[0].isalpha())


def _settings(ipyniivue, layout: str, shown: list[_Item]) -> dict[str, Any]:
    types = ipyniivue.SliceType
    kinds = (types.MULTIPLANAR, types.AXIAL, types.CORONAL, types.SAGITTAL, types.RENDER)
    settings = {
        # Without an image there are no slices.
        "slice_type": kinds[LAYOUTS.index(layout)] if shown else types.RENDER,
        "multiplanar_show_render": ipyniivue.ShowRender.ALWAYS,
        "multiplanar_pad_pixels": 4,
        # In voxels, the default, it would hide half of a small image.
        "crosshair_width_unit": "percent",
        "crosshair_width": 0.7,
        # As mrview and peek show it: the patient's left on the right, the nose of a sagittal slice on the left.
        "is_radiological_convention": True,
        "sagittal_nose_left": True,
        # At the edges, the default, niivue puts the letter of the left side on the right where a slice is alone.
        "is_corner_orientation_text": True,
        "font_color": (1.0, 1.0, 1.0, 1.0),
        "show_3d_crosshair": True,
        # Without it the volume hides the tracks in the 3-D view.
        "mesh_xray": 0.5,
    }
    if shown:
        settings["mesh_thickness_on_2d"] = _SLAB_VOXELS * min(shown[0].header.spacing)
    return settings


# --- What is sent ----------------------------------------------------------------------------------------------------


def _volume(ipyniivue, item: _Item, frames: list[int] | None, *, is_overlay: bool, **options: Any):
    """Return an image for the widget, with nothing in it but the volumes that are to be shown."""
    array, affine = images.loaded(item.source)
    if frames is not None:
        array = array[..., frames] if len(frames) > 1 else array[..., frames[0]]
    values = _for_texture(array)
    if is_overlay:
        low, high = _overlay_range(array)
        options |= {"cal_min": low, "cal_max": high}
        options["colormap_type"] = ipyniivue.ColormapType.ZERO_TO_MAX_TRANSPARENT_BELOW_MIN
    return ipyniivue.Volume(data=_nifti(values, affine), name=f"{item.name}.nii.gz", **options)


def _overlay_range(array: np.ndarray) -> tuple[float | None, float | None]:
    """Return below which value an overlay is invisible and from which on it is brightest; None where that is unknown.

    Whole numbers are taken for labels, none of which is to be hidden.
    """
    import numpy as np

    above = array[(array > 0) & np.isfinite(array)]
    if not above.size:
        return None, None
    if array.dtype.kind != "f":
        return 0.5, float(above.max())
    high = float(np.percentile(above, _BRIGHTEST))
    return _FAINT * high, high


def _nifti(values: np.ndarray, affine: np.ndarray) -> bytes:
    """Return values and their place as a compressed NIfTI file.

    niivue reads MIF as well, but neither its scaling nor whole numbers of 64 bits.
    """
    import nibabel

    image = nibabel.Nifti1Image(values, affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    return gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)


def _for_texture(array: np.ndarray) -> np.ndarray:
    """Return values of a type that a texture can have: those of 8 and 16 bits as they are, all others as float32."""
    import numpy as np

    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype in (np.uint8, np.int16, np.uint16):
        return array
    return np.nan_to_num(array.astype(np.float32), nan=0, posinf=0, neginf=0)


def _mesh(ipyniivue, item: _Tracks, opacity: float):
    """Return tracks for the widget, coloured by the direction of each step."""
    data = _plain_tck(item) if item.name.endswith(".tck") else item.source.read_bytes()
    mesh = ipyniivue.Mesh(data=data, name=item.name, opacity=opacity)
    mesh.fiber_color = "Local"
    return mesh


def _plain_tck(item: _Tracks) -> bytes:
    """Return a file of tracks as niivue reads it, which is with float32 in this order of bytes only.

    The format: https://mrtrix.readthedocs.io/en/latest/getting_started/image_data.html#tracks-file-format-tck
    """
    import numpy as np

    content = item.source.read_bytes()
    fields = _tck_fields(content)
    place, datatype = re.fullmatch(r"\.\s+(\d{1,18})", fields.get("file", "")), fields.get("datatype", "")
    if not content.startswith(b"mrtrix tracks") or not place or datatype not in _DATATYPES:
        raise OptionError(
            f"{item.name} does not hold tracks in MRtrix3's format.", hint="Check what it is.", code="bad-tracks"
        )
    dtype = np.dtype(_DATATYPES[datatype])
    data = content[int(place[1]) :]
    points = np.frombuffer(data[: len(data) // (3 * dtype.itemsize) * 3 * dtype.itemsize], dtype).reshape(-1, 3)
    ends = np.flatnonzero(np.isinf(points[:, 0]))
    if not len(ends):
        raise OptionError(
            f"{item.name} is cut off: the mark of its end is missing.", hint="Make or copy it again.", code="damaged"
        )
    if not np.isfinite(points[: ends[0]]).any():
        hint = "See with tckinfo -count how many it should have."
        raise OptionError(f"{item.name} has no track in it.", hint=hint, code="nothing-to-show")
    start = b"mrtrix tracks\ndatatype: Float32LE\nfile: . 64\nEND\n".ljust(64, b"\n")
    return start + points[: ends[0] + 1].astype("<f4").tobytes()


def _tck_fields(content: bytes) -> dict[str, str]:
    """Return the header of a file of tracks; MRtrix3 reads it with and without spaces, and with either end of line."""
    fields: dict[str, str] = {}
    for line in content[:_LONGEST_HEADER].split(b"\n"):
        text = line.partition(b"#")[0].decode(errors="replace").strip()
        if text == "END":
            return fields
        key, _, value = text.partition(":")
        fields[key.strip()] = value.strip()
    return {}
