"""Images and tracks in a notebook cell, rendered by the browser with WebGL."""

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
from provision.errors import OptionError, ProvisionError, no_such_file, unknown
from provision.notebook import in_notebook
from provision.pictures import images
from provision.words import format_bytes

if TYPE_CHECKING:
    import numpy as np
    from ipyniivue import NiiVue

    from provision.pictures.images import Header, Image

TRACKS = (".tck", ".trk", ".trk.gz", ".tt", ".tt.gz", ".trx")
"""The file extensions of tracks."""

LAYOUTS = ("all", "axial", "coronal", "sagittal", "3d")
"""The layouts: three slices beside a 3-D view, or one of the four."""

LARGEST = 128_000_000
"""The largest number of bytes, of voxels or of one file of tracks, to send to a browser, which holds them several times
over: as received, as numbers and as a texture, and sends the numbers back to the notebook in pieces. So many bytes of
noise took Chromium 19 s and 0.9 GB of memory, of tracks 17 s and 2.2 GB, on two cores without a graphics card."""

LONGEST_SIDE = 2048
"""The largest number of voxels along an axis: the limit of browsers for 3-D textures (MAX_3D_TEXTURE_SIZE)."""

HEIGHTS = (100, 2000)
"""The smallest and largest height in pixels."""

_GREY, _OVERLAYS = "gray", ("warm", "winter", "green", "violet")
_OVERLAY_OPACITY = 0.5
# An overlay is brightest from this percentile of its positive values on, and invisible below this part of it.
_BRIGHTEST, _FAINT = 98, 0.2
# Slices show the tracks within this many voxels of them, where the whole bundle would hide the image.
_SLAB_VOXELS = 2.0
_WAYS_OUT = (
    "Downsample it (mrgrid INPUT regrid coarse.mif -scale 0.5), crop it (mrgrid INPUT crop region.mif -mask mask.mif), "
    "or view slices (provision.peek)."
)
_LONGEST_HEADER = 1 << 20
_DATATYPES = {"Float32LE": "<f4", "Float32BE": ">f4", "Float64LE": "<f8", "Float64BE": ">f8"}


# Compared by what they are, not by their voxels.
@dataclass(frozen=True, eq=False)
class _Item:
    """An image to show: its source, its name in messages, and its header."""

    source: Image
    name: str
    header: Header


@dataclass(frozen=True, eq=False)
class _Tracks:
    """A file of tracks to show, and its name in messages."""

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
    """Show images and tracks in a notebook cell, overlaid, to rotate, slice and zoom.

    The first image is grey. The others are coloured and half-transparent, and invisible below a fifth of their
    brightest value; an image of whole numbers, such as a mask or labels, is invisible only where it is not above 0.
    Tracks are lines coloured by direction: red is left-right, green front-back, blue head-foot. The patient's right is
    on the left of an axial or coronal slice, and the front on the left of a sagittal one; the letters in the corner of
    a slice name its left and upper side.

    Click to move the cross-hair, drag to rotate the 3-D view, drag with the right button to set the contrast, and use
    the wheel to go through the slices. Everything is sent to the browser once, so it works without the kernel. A
    browser keeps about 16 such views; beyond that it blanks the oldest, until its cell is run again.

    Parameters
    ----------
    *sources : path-like, nibabel image or numpy.ndarray
        Images, as for `provision.pictures.images.loaded`, and files of tracks (``.tck``, ``.trk``, ``.tt``,
        ``.trx``), from bottom to top. They are placed by their scanner coordinates.
    colourmap : str or sequence of str, optional
        A colour map, such as ``"hot"``; the error for an unknown one lists all. A single name applies to the overlays,
        or to the first image if it is the only one; a sequence has one name for each image. Tracks have none.
    opacity : float or sequence of float, optional
        From 0, invisible, to 1. A single number applies to the overlays, or to the first image if it is the only one; a
        sequence has one for each image and file of tracks. By default 1 for the first image and tracks, else 0.5.
    volume : int or sequence of int, optional
        The volume of a 4-D image to send, counted from 0. In an image of spherical harmonics the first is the mean of
        all directions; in a diffusion series it is usually at b = 0. With several volumes, the left and right arrow
        keys go through those of the first image, once the view has been clicked.
    layout : {'all', 'axial', 'coronal', 'sagittal', '3d'}, optional
        Three slices beside a 3-D view, or one of the four.
    height : int, optional
        The height of the view in pixels, from 100 to 2000; it is as wide as the cell.

    Returns
    -------
    ipyniivue.NiiVue
        The widget, which a notebook shows as the value of a cell. It can be changed later, for example with
        ``viewer.volumes[1].opacity = 0.2`` or ``viewer.volumes[0].cal_max = 800``.

    Raises
    ------
    provision.errors.OptionError
        If something is neither an image nor tracks, is too large to be sent, or a value is not allowed.
    provision.errors.ProvisionError
        If ipyniivue or nibabel is not installed, or this is not a notebook.

    Examples
    --------
    >>> import provision
    >>> provision.view("t1.nii.gz", "fa.mif", "bundle.tck", opacity=0.4)  # doctest: +SKIP
    """
    items = [_item(source, number) for number, source in enumerate(sources, 1)]
    if not items:
        hint = 'Pass an image: provision.view("fa.nii.gz").'
        raise OptionError("There is nothing to show.", hint=hint, code="nothing-to-show")
    shown = [item for item in items if isinstance(item, _Item)]
    tracks = [item for item in items if isinstance(item, _Tracks)]
    opacities = _opacities(opacity, items)
    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
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
    """Return a source with its name; refuse one that cannot be shown."""
    if not isinstance(source, str | os.PathLike):
        return _Item(source, f"image {number}", images.header(source))
    path = Path(source).expanduser()
    if path.name.endswith(TRACKS):
        _check_tracks(path)
        return _Tracks(path, path.name)
    if path.is_file() and not path.name.endswith(images.EXTENSIONS):
        raise OptionError(
            f"{source} looks like neither an image ({', '.join(images.EXTENSIONS)}) nor tracks ({', '.join(TRACKS)}).",
            hint="Convert it with mrconvert or tckconvert.",
            code="unknown-format",
        )
    return _Item(path, path.name, images.header(source))


def _check_tracks(path: Path) -> None:
    if not path.is_file():
        raise no_such_file(path, str(path))
    size = path.stat().st_size
    if not size:
        raise OptionError(f"{path} is empty.", hint="Create it again.", code="damaged")
    if size > LARGEST:
        raise OptionError(
            f"{path} has {format_bytes(size)}; the limit for tracks in a browser is {format_bytes(LARGEST)}.",
            hint=f"Use fewer tracks: tckedit {path.name} fewer.tck -number 10000.",
            code="too-large",
        )
    try:
        fits = _looks_like_tracks(path)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, struct.error):
        fits = False
    if not fits:
        raise OptionError(
            f"{path} does not contain tracks in the format that its name suggests.",
            hint="Check its format.",
            code="bad-tracks",
        )


def _looks_like_tracks(path: Path) -> bool:
    """Return whether a file begins as its name suggests; the content of a .tck is read later.

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
            raise OptionError(f"The opacity must be a number from 0 to 1, not {value!r}.", code="bad-value")
    return dict(zip(items, map(float, values), strict=True))


def _colourmaps(colourmap: str | Sequence[str] | None, shown: list[_Item], known: list[str]) -> list[str]:
    overlays = [_OVERLAYS[number % len(_OVERLAYS)] for number in range(len(shown) - 1)]
    values = _one_each(colourmap, [_GREY, *overlays][: len(shown)], "colourmap", "images")
    names = [_GREY if value == "grey" else value for value in values]
    for name in names:
        if name not in known:
            raise unknown("colour map", name, known)
    return names


def _one_each(value: Any, default: list, option: str, things: str) -> list:
    """Return a value for each thing: those given, or the single one for all but the first."""
    if value is None:
        return default
    if not isinstance(value, list | tuple):
        return [*default[:1], *[value] * (len(default) - 1)] if len(default) > 1 else [value] * len(default)
    if len(value) != len(default):
        message = f"{option} has {len(value)} values for {len(default)} {things}; pass one for each."
        raise OptionError(message, code="bad-value")
    return list(value)


def _check_height(height: Any) -> None:
    least, most = HEIGHTS
    is_whole = isinstance(height, Integral) and not isinstance(height, bool)
    if not (is_whole and least <= height <= most):
        message = f"The height must be a whole number of pixels from {least} to {most}, not {height!r}."
        raise OptionError(message, code="bad-value")


def _frames(item: _Item, volume: int | Sequence[int]) -> list[int] | None:
    """Return which volumes of an image to send, or None if it has only one."""
    header = item.header
    if len(header.shape) == 3:
        return None
    if len(header.shape) > 4:
        size = " x ".join(map(str, header.shape))
        message = f"{item.name} has the size {size}, but at most four dimensions can be shown."
        raise OptionError(message, code="wrong-image")
    frames = [volume] if isinstance(volume, str) or not isinstance(volume, Iterable) else list(volume)
    for frame in frames:
        if isinstance(frame, bool) or not isinstance(frame, Integral) or not 0 <= frame < header.volumes:
            raise OptionError(
                f"{item.name} has no volume {frame!r}; its volumes are numbered from 0 to {header.volumes - 1}.",
                code="bad-value",
            )
    if not frames:
        raise OptionError("No volume was chosen.", hint="The first is volume=0.", code="bad-value")
    return frames


def _check_size(item: _Item, frames: list[int] | None) -> None:
    """Refuse an image that is too large for a browser, before its voxels are read."""
    shape = item.header.shape[:3]
    size = " x ".join(map(str, shape))
    if max(shape) > LONGEST_SIDE:
        raise OptionError(
            f"{item.name} has {size} voxels; a browser can show at most {LONGEST_SIDE} along an axis.",
            hint=_WAYS_OUT,
            code="too-large",
        )
    count = len(frames) if frames else 1
    # The colours of a voxel take four bytes, and so does a value of float32.
    needed = 4 * math.prod(shape) * count
    if needed > LARGEST:
        number = f"{count} volumes of {size}" if count > 1 else size
        raise OptionError(
            f"{item.name} has {number} voxels, {format_bytes(needed)}; the limit is {format_bytes(LARGEST)}.",
            hint="Choose fewer volumes." if count > 1 else _WAYS_OUT,
            code="too-large",
        )


# --- Where it is shown -----------------------------------------------------------------------------------------------


def _import_ipyniivue():
    extras.require("view", "Images in the browser", "ipyniivue")
    import ipyniivue

    return ipyniivue


def _check_notebook() -> None:
    """Refuse to show a widget outside a notebook.

    On Google Colab, anywidget, on which ipyniivue is built, enables custom widgets by itself.
    """
    if not in_notebook():
        raise ProvisionError(
            "This can be shown only in a notebook.",
            hint="Call it in a cell of JupyterLab or Google Colab; for a terminal, use provision.peek.",
            code="no-notebook",
        )


def _names_of_colourmaps(ipyniivue) -> list[str]:
    """Return the colour maps of ipyniivue, without those for its own use."""
    folder = Path(ipyniivue.__file__).parent / "static" / "colormaps"
    return sorted(path.stem for path in folder.glob("*.json") if path.stem[0].isalpha())


def _settings(ipyniivue, layout: str, shown: list[_Item]) -> dict[str, Any]:
    types = ipyniivue.SliceType
    kinds = (types.MULTIPLANAR, types.AXIAL, types.CORONAL, types.SAGITTAL, types.RENDER)
    settings = {
        # There are no slices without an image.
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
    """Return an image for the widget, with only the volumes to show."""
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
    """Return the values below which an overlay is invisible and above which it is brightest; None if unknown.

    Whole numbers are taken for labels, and none of them is hidden.
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
    """Return values and affine as a compressed NIfTI file.

    niivue also reads MIF, but supports neither its scaling nor 64-bit integers.
    """
    import nibabel

    image = nibabel.Nifti1Image(values, affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    return gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)


def _for_texture(array: np.ndarray) -> np.ndarray:
    """Return values in a type that a texture supports: 8 and 16 bits as they are, all others as float32."""
    import numpy as np

    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype in (np.uint8, np.int16, np.uint16):
        return array
    return np.nan_to_num(array.astype(np.float32), nan=0, posinf=0, neginf=0)


def _mesh(ipyniivue, item: _Tracks, opacity: float):
    """Return tracks for the widget, coloured by local direction."""
    data = _plain_tck(item) if item.name.endswith(".tck") else item.source.read_bytes()
    mesh = ipyniivue.Mesh(data=data, name=item.name, opacity=opacity)
    mesh.fiber_color = "Local"
    return mesh


def _plain_tck(item: _Tracks) -> bytes:
    """Return a file of tracks in the only form that niivue reads: little-endian float32.

    The format: https://mrtrix.readthedocs.io/en/latest/getting_started/image_data.html#tracks-file-format-tck
    """
    import numpy as np

    content = item.source.read_bytes()
    fields = _tck_fields(content)
    place, datatype = re.fullmatch(r"\.\s+(\d{1,18})", fields.get("file", "")), fields.get("datatype", "")
    if not content.startswith(b"mrtrix tracks") or not place or datatype not in _DATATYPES:
        raise OptionError(
            f"{item.name} does not contain tracks in MRtrix3's format.", hint="Check its format.", code="bad-tracks"
        )
    dtype = np.dtype(_DATATYPES[datatype])
    data = content[int(place[1]) :]
    points = np.frombuffer(data[: len(data) // (3 * dtype.itemsize) * 3 * dtype.itemsize], dtype).reshape(-1, 3)
    ends = np.flatnonzero(np.isinf(points[:, 0]))
    if not len(ends):
        raise OptionError(
            f"{item.name} is cut off: its end marker is missing.", hint="Copy or create it again.", code="damaged"
        )
    if not np.isfinite(points[: ends[0]]).any():
        hint = "Check it with tckinfo -count."
        raise OptionError(f"{item.name} contains no tracks.", hint=hint, code="nothing-to-show")
    start = b"mrtrix tracks\ndatatype: Float32LE\nfile: . 64\nEND\n".ljust(64, b"\n")
    return start + points[: ends[0] + 1].astype("<f4").tobytes()


def _tck_fields(content: bytes) -> dict[str, str]:
    """Return the header of a file of tracks; like MRtrix3, accept any spacing and both line endings."""
    fields: dict[str, str] = {}
    for line in content[:_LONGEST_HEADER].split(b"\n"):
        text = line.partition(b"#")[0].decode(errors="replace").strip()
        if text == "END":
            return fields
        key, _, value = text.partition(":")
        fields[key.strip()] = value.strip()
    return {}
