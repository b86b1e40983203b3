"""Images and tracks in a notebook cell, rendered by the browser with WebGL."""

from __future__ import annotations

import base64
import gzip
import io
import json
import math
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from html import escape
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision import extras
from provision.errors import OptionError, ProvisionError, unknown
from provision.notebook import in_notebook
from provision.pictures import drawing, slices, tracks
from provision.pictures.checks import View
from provision.pictures.overlays import Overlay
from provision.pictures.reader import Reader
from provision.words import format_bytes, printable

if TYPE_CHECKING:
    import numpy as np
    from ipyniivue import NiiVue

    from provision.pictures.picture import Picture
    from provision.pictures.reader import Image

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

MOST_POINTS = 2_000_000
"""The most points of a .tck file to send, such as 20 000 tracks of 100 points: 24 MB, about 3 s in that browser."""

_GREY, _OVERLAYS = "gray", ("warm", "winter", "green", "violet")
_NEGATIVE = "winter"
_OVERLAY_OPACITY = 0.5
# An overlay is brightest from this percentile of its magnitudes on, and by default invisible below this part of it.
_BRIGHTEST, _FAINT = 98, 0.5
# FreeSurfer's atlases have fewer than 300 labels; an image of whole numbers with more values has intensities.
_MOST_LABELS = 512
# Slices show the tracks within this many voxels of them, where the whole bundle would hide the image.
_SLAB_VOXELS = 2.0
_WAYS_OUT = (
    "Downsample it (mrgrid INPUT regrid coarse.mif -scale 0.5), crop it (mrgrid INPUT crop region.mif -mask mask.mif), "
    "or view slices (provision.peek)."
)
_WIDGET = "application/vnd.jupyter.widget-view+json"


class Viewer:
    """Images and tracks in a notebook cell, with their names and the values at the crosshair below.

    A saved notebook keeps a picture of the slices in the middle, for where widgets do not work.

    Attributes
    ----------
    niivue : ipyniivue.NiiVue
        The view, which can be changed: ``viewer.niivue.volumes[1].opacity = 0.2``.
    widget : ipywidgets.VBox
        The view and the line below it, for use among other widgets.
    picture : provision.pictures.picture.Picture or None
        The picture; None for tracks alone that MRtrix3 does not read.
    """

    def __init__(self, niivue: NiiVue, names: Sequence[str], shown: str, picture: Picture | None):
        import ipywidgets

        self.niivue, self.picture, self._shown = niivue, picture, shown
        place = ipywidgets.HTML(value=escape(shown))
        self.widget = ipywidgets.VBox([niivue, place])
        niivue.on_location_change(_writing(place, names, shown))

    def __repr__(self) -> str:
        return f"<Viewer of {self._shown}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        # niivue's own bundle says how Google Colab finds its widget.
        data, about = self.niivue._repr_mimebundle_()
        data = {"text/plain": repr(self), _WIDGET: {**data[_WIDGET], "model_id": self.widget.model_id}}
        if self.picture:
            data["image/png"] = base64.b64encode(self.picture.png).decode()
            about = {**about, "image/png": {"alt": self.picture.alt}}
        return data, about


def _writing(place: Any, names: Sequence[str], shown: str) -> Callable[[dict], None]:
    """Return what writes the values at the crosshair."""

    def moved(location: dict) -> None:
        x, y, z = location["mm"][:3]
        values = [one.get("value") for one in location["values"]]
        said = [
            f"{name} {slices.format_value(value)}"
            for name, value in zip(names, values, strict=False)
            if isinstance(value, int | float)
        ]
        at = f"at {x:.1f}, {y:.1f}, {z:.1f} mm: {', '.join(said)}" if said else ""
        place.value = "<br>".join(map(escape, filter(None, [shown, at])))

    return moved


# Compared by what they are, not by their voxels.
@dataclass(frozen=True, eq=False)
class _Layer:
    """An image to show: its name, which volumes, and from which magnitude on; by default a robust one."""

    name: str
    reader: Reader
    frames: list[int]
    is_overlay: bool
    threshold: float | None = None

    @cached_property
    def values(self) -> np.ndarray:
        """The volumes to show, shape (X, Y, Z) or (X, Y, Z, V); what is not finite is 0."""
        import numpy as np

        values = np.nan_to_num(self.reader.read(self.frames), nan=0, posinf=0, neginf=0)
        return values[..., 0] if values.ndim > 3 and values.shape[3] == 1 else values

    @cached_property
    def has_labels(self) -> bool:
        """Whether it is a mask or has labels: few values, all of them whole and none negative."""
        import numpy as np

        values = self.values
        if values.min() < 0 or (values != np.rint(values)).any():
            return False
        return len(np.unique(values)) <= _MOST_LABELS

    @cached_property
    def range(self) -> tuple[float, float]:
        """The magnitudes of the darkest and brightest colour; those of an overlay below the first are invisible."""
        import numpy as np

        if not self.is_overlay:
            return drawing.robust_range(self.values)
        above = np.abs(self.values[self.values != 0])
        high = float(np.percentile(above, _BRIGHTEST)) if above.size else 1.0
        if self.threshold is not None:
            return self.threshold, max(high, self.threshold * 1.001)
        return (0.5, float(above.max())) if self.has_labels and above.size else (_FAINT * high, high)

    @property
    def is_signed(self) -> bool:
        """Whether an overlay has negative values to show."""
        return self.is_overlay and self.values.min() <= -self.range[0] < 0


@dataclass(frozen=True, eq=False)
class _Bundle:
    """Tracks to show: their name, the file for the browser, and what is drawn; None if MRtrix3 does not read them."""

    name: str
    data: bytes
    drawn: tracks.Tracks | None = None

    @property
    def said(self) -> str:
        """The name and, of thinned tracks, how many are shown."""
        if self.drawn is None or len(self.drawn.lines) >= self.drawn.total:
            return self.name
        return f"{self.name} ({len(self.drawn.lines)} of {self.drawn.total} tracks)"


def view(
    *sources: Image,
    colourmap: str | Sequence[str] | None = None,
    opacity: float | Sequence[float] | None = None,
    threshold: float | Sequence[float | None] | None = None,
    volume: int | Sequence[int] = 0,
    layout: str = "all",
    height: int = 480,
) -> Viewer:
    """Show images and tracks in a notebook cell, overlaid, to rotate, slice and zoom.

    The first image is grey, with the range of intensities of `provision.peek`. The others are coloured and
    half-transparent, and invisible below a threshold. Tracks are lines coloured by direction: red is left-right, green
    front-back, blue head-foot; slices show those within two voxels. The patient's right is on the left of an axial or
    coronal slice, and the front on the left of a sagittal one; the letters in the corner of a slice name its left and
    upper side.

    Click to move the crosshair, drag to rotate the 3-D view, drag with the right button to set the contrast, and use
    the wheel to go through the slices. Everything is sent to the browser once; only the line below, with the place and
    the values at the crosshair, needs the kernel. A browser keeps about 16 such views; beyond that it blanks the
    oldest, until its cell is run again.

    Parameters
    ----------
    *sources : path-like, nibabel image or numpy.ndarray
        Images, as for `provision.peek`, and files of tracks (``.tck``, ``.trk``, ``.tt``, ``.trx``), from bottom to
        top. They are placed by their scanner coordinates. Of a .tck file with more than 2 million points, evenly spaced
        tracks are shown, and a warning says how many.
    colourmap : str or sequence of str, optional
        A colour map of niivue's, such as ``"hot"``; the error for an unknown one lists all. A single name applies to
        the overlays, or to the first image if it is the only one; a sequence has one name for each image. Tracks have
        none.
    opacity : float or sequence of float, optional
        From 0, invisible, to 1. A single number applies to the overlays, or to the first image if it is the only one; a
        sequence has one for each image and file of tracks. By default 1 for the first image and tracks, else 0.5.
    threshold : float or sequence of float, optional
        The magnitude below which an overlay is invisible; a sequence has one for each overlay, or None for the default:
        half of its 98th percentile, or for a mask or labels (whole numbers, at most 512 different ones) whatever is
        above 0. The magnitudes are those of the values that are not 0.
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
    Viewer
        What a notebook shows as the value of a cell. Its ``.niivue``, the widget, can be changed later, for example
        with ``viewer.niivue.volumes[1].opacity = 0.2`` or ``viewer.niivue.volumes[0].cal_max = 800``.

    Raises
    ------
    provision.errors.OptionError
        If something is neither an image nor tracks, is too large to be sent, or a value is not allowed.
    provision.errors.ProvisionError
        If MRtrix3, ipyniivue, matplotlib or nibabel is not installed, or this is not a notebook.

    Warns
    -----
    provision.pictures.mrtrix3.ImageWarning
        If MRtrix3 finds something odd in an image.
    UserWarning
        If only some of the tracks are shown, or a file has fewer tracks than its header says.

    Examples
    --------
    >>> import provision
    >>> provision.view("t1.nii.gz", "fa.mif", "bundle.tck", threshold=0.2)  # doctest: +SKIP
    """
    if not sources:
        hint = 'Pass an image: provision.view("fa.nii.gz").'
        raise OptionError("There is nothing to show.", hint=hint, code="nothing-to-show")
    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    _check_height(height)
    ipyniivue = _import_ipyniivue()
    _check_notebook()
    with ExitStack() as opened:
        items = _items(sources, volume, threshold, opened)
        layers = [item for item in items if isinstance(item, _Layer)]
        bundles = [item for item in items if isinstance(item, _Bundle)]
        opacities = _opacities(opacity, items)
        colourmaps = _colourmaps(colourmap, layers, _names_of_colourmaps(ipyniivue))
        for layer in layers:
            _check_size(layer)
        viewer = ipyniivue.NiiVue(height=int(height), **_settings(ipyniivue, layout, layers))
        viewer.load_volumes(
            [_volume(ipyniivue, layer, name, opacities[layer]) for layer, name in zip(layers, colourmaps, strict=True)]
        )
        viewer.load_meshes([_mesh(ipyniivue, bundle, opacities[bundle]) for bundle in bundles])
        maps = [_matplotlibs(ipyniivue, name) for name in colourmaps]
        picture = _picture(layers, bundles, layout, maps, opacities)
    shown = " + ".join(item.said if isinstance(item, _Bundle) else _said(item) for item in items)
    return Viewer(viewer, [layer.name for layer in layers], shown, picture)


# --- What was asked for ----------------------------------------------------------------------------------------------


def _items(sources: Sequence[Image], volume: Any, threshold: Any, opened: ExitStack) -> list[_Layer | _Bundle]:
    """Return what is to be shown; refuse what cannot be."""
    are_tracks = [isinstance(source, str | os.PathLike) and os.fspath(source).endswith(TRACKS) for source in sources]
    thresholds = iter([None, *_thresholds(threshold, max(are_tracks.count(False) - 1, 0))])
    items: list[_Layer | _Bundle] = []
    for number, (source, is_tracks) in enumerate(zip(sources, are_tracks, strict=True), 1):
        if is_tracks:
            items.append(_bundle(source))  # type: ignore[arg-type]
            continue
        reader = opened.enter_context(Reader(source))
        name = reader.name if isinstance(source, str | os.PathLike) else f"image {number}"
        is_overlay = any(isinstance(item, _Layer) for item in items)
        items.append(_Layer(name, reader, _frames(name, reader, volume), is_overlay, next(thresholds)))
    return items


def _thresholds(given: Any, count: int) -> list[float | None]:
    """Return the threshold of each overlay."""
    values = list(given) if isinstance(given, list | tuple) else [given] * count
    if len(values) != count:
        message = f"threshold has {len(values)} values for {count} overlays; pass one for each."
        raise OptionError(message, code="bad-value")
    for value in values:
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 <= value < math.inf):
            raise OptionError(f"The threshold must be a number of 0 or more, not {value!r}.", code="bad-value")
    return [None if value is None else float(value) for value in values]


def _bundle(source: str | os.PathLike[str]) -> _Bundle:
    """Return tracks with the file for the browser: those of MRtrix3 in its plainest form, others as they are."""
    path = tracks.checked_file(source)
    if path.suffix != ".tck":
        _check_tracks(path)
        return _Bundle(printable(path.name), path.read_bytes())
    import nibabel
    import numpy as np

    found = tracks.read(path, MOST_POINTS)
    if len(found.lines) < found.total:
        message = f"{path.name}: {len(found.lines)} of {found.total} tracks are shown, evenly spaced in the file."
        warnings.warn(message, UserWarning, stacklevel=4)
    stream = io.BytesIO()
    nibabel.streamlines.TckFile(nibabel.streamlines.Tractogram(found.lines, affine_to_rasmm=np.eye(4))).save(stream)
    return _Bundle(found.name, stream.getvalue(), found)


def _check_tracks(path: Path) -> None:
    """Refuse a file of another program's tracks that is too large, or that is not one."""
    size = path.stat().st_size
    if size > LARGEST:
        raise OptionError(
            f"{path} has {format_bytes(size)}; the limit for tracks in a browser is {format_bytes(LARGEST)}.",
            hint="Convert it to .tck, of which evenly spaced tracks are shown, or use fewer tracks.",
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
    """Return whether a file begins as its name suggests.

    The formats: https://trackvis.org/docs/?subsect=fileformat, https://github.com/tee-ar-ex/trx-spec, and for .tt
    MATLAB's, level 4: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf.
    """
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


def _opacities(opacity: float | Sequence[float] | None, items: list[_Layer | _Bundle]) -> dict[_Layer | _Bundle, float]:
    default = [_OVERLAY_OPACITY if isinstance(item, _Layer) and item.is_overlay else 1.0 for item in items]
    values = _one_each(opacity, default, "opacity", "things to show")
    for value in values:
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not (is_number and 0 <= value <= 1):
            raise OptionError(f"The opacity must be a number from 0 to 1, not {value!r}.", code="bad-value")
    return dict(zip(items, map(float, values), strict=True))


def _colourmaps(colourmap: str | Sequence[str] | None, shown: list[_Layer], known: list[str]) -> list[str]:
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


def _frames(name: str, reader: Reader, volume: int | Sequence[int]) -> list[int]:
    """Return which volumes of an image to send."""
    count = reader.header.volumes
    if count == 1:
        return [0]
    frames = [volume] if isinstance(volume, str) or not isinstance(volume, Iterable) else list(volume)
    for frame in frames:
        if isinstance(frame, bool) or not isinstance(frame, Integral) or not 0 <= frame < count:
            raise OptionError(
                f"{name} has no volume {frame!r}; its volumes are numbered from 0 to {count - 1}.",
                code="bad-value",
            )
    if not frames:
        raise OptionError("No volume was chosen.", hint="The first is volume=0.", code="bad-value")
    return [int(frame) for frame in frames]


def _check_size(item: _Layer) -> None:
    """Refuse an image that is too large for a browser, before its voxels are read."""
    shape = item.reader.header.shape[:3]
    size = " x ".join(map(str, shape))
    if max(shape) > LONGEST_SIDE:
        raise OptionError(
            f"{item.name} has {size} voxels; a browser can show at most {LONGEST_SIDE} along an axis.",
            hint=_WAYS_OUT,
            code="too-large",
        )
    count = len(item.frames)
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
    extras.require("view", "Images in the browser", "ipyniivue", "matplotlib", "nibabel")
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


def _folder_of_colourmaps(ipyniivue) -> Path:
    return Path(ipyniivue.__file__).parent / "static" / "colormaps"


def _names_of_colourmaps(ipyniivue) -> list[str]:
    """Return the colour maps of ipyniivue, without those for its own use."""
    names = (path.stem for path in _folder_of_colourmaps(ipyniivue).glob("*.json"))
    return sorted(name for name in names if name[0].isalpha())


def _matplotlibs(ipyniivue, name: str) -> Any:
    """Return a colour map of niivue's as one of matplotlib's."""
    from matplotlib.colors import LinearSegmentedColormap

    place = _folder_of_colourmaps(ipyniivue) / f"{name}.json"
    stops = json.loads(place.read_text("utf-8"))
    colours = [tuple(part / 255 for part in colour) for colour in zip(stops["R"], stops["G"], stops["B"], strict=True)]
    return LinearSegmentedColormap.from_list(name, list(zip([at / 255 for at in stops["I"]], colours, strict=True)))


def _settings(ipyniivue, layout: str, shown: list[_Layer]) -> dict[str, Any]:
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
        # Red, the default, is a direction of tracks.
        "crosshair_color": (0.3, 0.8, 0.9, 1.0),
        # As mrview and peek show it: the patient's left on the right, the nose of a sagittal slice on the left.
        "is_radiological_convention": True,
        "sagittal_nose_left": True,
        # At the edges, the default, niivue puts the letter of the left side on the right where a slice is alone.
        "is_corner_orientation_text": True,
        "font_color": (1.0, 1.0, 1.0, 1.0),
        "show_3d_crosshair": True,
        # Without it the volume hides the tracks in the 3-D view.
        "mesh_xray": 0.5,
        "is_orient_cube": True,
    }
    if shown:
        settings["mesh_thickness_on_2d"] = _SLAB_VOXELS * min(shown[0].reader.header.spacing)
        # Its ruler, of ipyniivue 2.4.4, is not to be seen with the settings above.
        settings["is_colorbar"] = True
    return settings


# --- What is sent ----------------------------------------------------------------------------------------------------


def _volume(ipyniivue, layer: _Layer, colourmap: str, opacity: float):
    """Return an image for the widget, with only the volumes to show."""
    low, high = layer.range
    options: dict[str, Any] = {"cal_min": low, "cal_max": high, "colormap": colourmap, "opacity": opacity}
    if layer.is_overlay:
        options["colormap_type"] = ipyniivue.ColormapType.ZERO_TO_MAX_TRANSPARENT_BELOW_MIN
    if layer.is_signed:
        options["colormap_negative"] = _NEGATIVE
    data = _nifti(_for_texture(layer.values), layer.reader.header.affine)
    return ipyniivue.Volume(data=data, name=f"{layer.name}.nii.gz", **options)


def _nifti(values: np.ndarray, affine: np.ndarray) -> bytes:
    """Return values and affine as a compressed NIfTI file.

    niivue also reads MIF, but supports neither its scaling nor 64-bit integers.
    """
    import nibabel

    image = nibabel.Nifti1Image(values, affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    return gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)


def _for_texture(values: np.ndarray) -> np.ndarray:
    """Return values in the smallest type that holds them exactly and that a texture supports."""
    import numpy as np

    low, high = values.min(), values.max()
    for dtype in (np.uint8, np.int16):
        limits = np.iinfo(dtype)
        if limits.min <= low and high <= limits.max and (values == np.rint(values)).all():
            return values.astype(dtype)
    return values


def _mesh(ipyniivue, bundle: _Bundle, opacity: float):
    """Return tracks for the widget, coloured by local direction."""
    mesh = ipyniivue.Mesh(data=bundle.data, name=bundle.name, opacity=opacity)
    mesh.fiber_color = "Local"
    return mesh


# --- The picture beside it -------------------------------------------------------------------------------------------


def _picture(
    layers: list[_Layer],
    bundles: list[_Bundle],
    layout: str,
    maps: list[Any],
    opacities: dict[_Layer | _Bundle, float],
) -> Picture | None:
    """Return a picture of the middle slices, for where the widget does not work."""
    known = [bundle.drawn for bundle in bundles if bundle.drawn]
    if not layers:
        return tracks.picture_of(known[0], None, drawing.PLANES["axial"]) if known else None
    first, header = layers[0], layers[0].reader.header
    planes = tuple(drawing.PLANES[name] for name in ([layout] if layout in drawing.PLANES else drawing.PLANES))
    middle = [count // 2 for count in header.shape[:3]]
    look = View(
        planes, (middle[0], middle[1], middle[2]), volume=first.frames[0], range=first.range, colourmap=maps[0],
        crosshair=False,
    )  # fmt: skip
    over = [
        _overlay(layer, first.reader, name, opacities[layer]) for layer, name in zip(layers[1:], maps[1:], strict=True)
    ]
    drawn = slices.Slices(first.reader, look, over)
    for panel, plane in enumerate(planes):
        for bundle in known:
            thickness = _SLAB_VOXELS * min(header.spacing)
            tracks.draw(drawn.sheet, panel, bundle.lines, header, middle[plane.through], thickness)
    return drawn.picture


def _overlay(layer: _Layer, under: Reader, colours: Any, opacity: float) -> Overlay:
    import numpy as np

    interpolation = "nearest" if layer.has_labels else "linear"
    values = np.array(layer.reader.volume(layer.frames[0], under, interpolation=interpolation))
    low, high = layer.range
    limits = (-high, high) if layer.is_signed else (0.0, high)
    return Overlay(layer.name, "map", values, low, "coolwarm" if layer.is_signed else colours, limits, opacity)


def _said(layer: _Layer) -> str:
    """Return the name of an image and what is shown of it."""
    if not layer.is_overlay:
        return layer.name
    return f"{layer.name} (from {slices.format_value(layer.range[0])})"
