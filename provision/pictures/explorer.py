"""Sliders for the slices and volumes of an image, in a notebook cell."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision import extras
from provision.errors import OptionError
from provision.pictures import images, slices
from provision.pictures.picture import Picture

if TYPE_CHECKING:
    from provision.pictures.images import Image
    from provision.pictures.slices import View

_PERCENTILES = (0.2, 99.8)  # mrpeek's own
_PLANE = "axial"


class Explorer:
    """A slice of an image, with sliders for the slice and the volume.

    All slices and volumes share one range of intensities, so that the brightness does not jump: the range given, or
    the percentiles given, (0.2, 99.8) by default, of values from the whole series. In a diffusion series, the volumes
    at b = 0 determine that range and those at high b-values appear dark; set `range` to see them better.

    An image that is compressed, or not in a file, is written to a temporary file once. That is deleted with the object,
    by `close`, or when Python exits.

    Parameters
    ----------
    image : path-like, nibabel image or numpy.ndarray
        As for `provision.pictures.images.loaded`.
    view : provision.pictures.slices.View
        What to show first; the axial plane if it has all three.

    Raises
    ------
    provision.errors.OptionError
        If the image cannot be shown.
    provision.errors.ProvisionError
        If ipywidgets, mrpeek, libsixel or nibabel is not installed, or mrpeek failed.

    Examples
    --------
    >>> explorer = provision.peek("dwi.nii.gz", interactive=True)  # doctest: +SKIP
    >>> explorer.volume = 12  # doctest: +SKIP
    >>> explorer.picture  # doctest: +SKIP
    <Picture 692 x 672: axial slice of dwi.nii.gz at voxel (24, 24, 10), volume 12, intensities from 0 to 1016>
    """

    def __init__(self, image: Image, view: View):
        widgets = _widgets()
        slices.check_installed()
        self._header, self._name = images.header(image), images.short_name(image)
        folder = Path(tempfile.mkdtemp(prefix="provision-peek-"))
        self._delete = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._file = images.on_disk(image, folder)
        self._range = view.range or self._range_of(view)
        self._view = replace(view, plane=view.plane or _PLANE, percentiles=None)
        self._picture: Picture
        self._failure: Exception | None = None
        self._make_widgets(widgets)
        self._draw()
        # If nothing can be drawn at all, that is raised at once; later failures appear below the sliders.
        self.picture  # noqa: B018

    @property
    def picture(self) -> Picture:
        """The current picture; if it could not be drawn, the error is raised."""
        if self._failure is not None:
            raise self._failure
        return self._picture

    @property
    def plane(self) -> str:
        """The current plane, ``"axial"``, ``"coronal"`` or ``"sagittal"``; setting it redraws the slice."""
        return slices.PLANES[self._axis]

    @plane.setter
    def plane(self, plane: str) -> None:
        slices.check_plane(plane)
        self._set(self._plane_choice, plane)

    @property
    def slice(self) -> int:
        """The current slice of the plane, counted from 0; setting it redraws the slice."""
        return self._view.focus[self._axis]

    @slice.setter
    def slice(self, number: int) -> None:
        self._set(self._slice_slider, _checked_number("slice", number, self._header.shape[self._axis]))

    @property
    def volume(self) -> int:
        """The current volume, counted from 0; setting it redraws the slice."""
        return self._view.volume or 0

    @volume.setter
    def volume(self, number: int) -> None:
        number = _checked_number("volume", number, self._header.volumes)
        if self._volume_slider is not None:
            self._set(self._volume_slider, number)

    @property
    def range(self) -> tuple[float, float]:
        """The intensities of the darkest and brightest colour; setting it redraws the slice."""
        return self._range

    @range.setter
    def range(self, limits: tuple[float, float]) -> None:
        self._range = slices.checked_range(limits)
        self._draw()

    @property
    def widget(self) -> Any:
        """The ``ipywidgets.VBox`` with the sliders and the picture, for use among other widgets."""
        # The notebook may show it for as long as it likes, and the sliders need this object.
        self._box.explorer = self
        return self._box

    def close(self) -> None:
        """Remove the sliders and delete the temporary file."""
        self._box.close()
        self._delete()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        # The picture beside the sliders is what remains where these no longer work: in a saved notebook, or on GitHub.
        picture, about = self._picture._repr_mimebundle_()
        view = {"model_id": self.widget.model_id, "version_major": 2, "version_minor": 0}
        bundle = {**picture, "text/plain": repr(self), "application/vnd.jupyter.widget-view+json": view}
        display(bundle, metadata=about, raw=True)

    def __repr__(self) -> str:
        return f"<Explorer of {self._name}: {' x '.join(map(str, self._header.shape))}>"

    @property
    def _axis(self) -> int:
        return slices.PLANES.index(self._view.plane)

    def _range_of(self, view: View) -> tuple[float, float]:
        """Return one range of intensities for the whole series."""
        import numpy as np

        values = images.sample(self._file)
        if not len(values):
            return slices.flat_range(0.0)
        # Where nearly all voxels are 0, as in a small mask, the others lie outside of any percentiles.
        for low, high in (np.percentile(values, view.percentiles or _PERCENTILES), (values.min(), values.max())):
            if low < high:
                return float(low), float(high)
        return slices.flat_range(float(low))

    def _make_widgets(self, widgets: Any) -> None:
        focus = self._view.focus[self._axis]
        self._plane_choice = widgets.ToggleButtons(options=sorted(slices.PLANES), value=self._view.plane)
        self._slice_slider = _slider(widgets, "slice", self._header.shape[self._axis], focus)
        several = self._view.volume is not None
        self._volume_slider = _slider(widgets, "volume", self._header.volumes, self.volume) if several else None
        self._image, self._message = widgets.Image(format="png"), widgets.HTML()
        controls = [self._plane_choice, self._slice_slider, *filter(None, [self._volume_slider])]
        self._box = widgets.VBox([*controls, self._message, self._image])
        self._callback = _calling(self)
        for control in controls:
            control.observe(self._callback, names="value")

    def _set(self, control: Any, value: Any) -> None:
        """Move a slider, which redraws the slice, and raise what went wrong there."""
        control.value = value
        self.picture  # noqa: B018

    def _moved(self, control: Any, value: Any) -> None:
        """Take over the value of a slider, and redraw the slice."""
        if control is self._plane_choice:
            self._view = replace(self._view, plane=value)
            self._show_slices()
        elif control is self._volume_slider:
            self._view = replace(self._view, volume=value)
        else:
            focus = list(self._view.focus)
            focus[self._axis] = value
            self._view = replace(self._view, focus=tuple(focus))
        self._draw()

    def _show_slices(self) -> None:
        """Adapt the slider to the slices of the plane, without drawing them meanwhile."""
        slider = self._slice_slider
        slider.unobserve(self._callback, names="value")
        # A slider's largest number must not fall below its value, not even for a moment.
        slider.value = 0
        slider.max = self._header.shape[self._axis] - 1
        slider.value = self.slice
        slider.observe(self._callback, names="value")

    def _draw(self) -> None:
        """Draw the slice, or show below the sliders why it cannot be drawn."""
        view = replace(self._view, range=self._range)
        try:
            self._picture, self._failure = slices.drawn(self._file, self._header, view, self._name), None
        except Exception as error:
            # An exception in a slider's callback would be lost in a notebook.
            self._failure = error
            self._message.value = f"<b>{escape(str(error) or type(error).__name__)}</b>"
            return
        self._message.value = ""
        self._image.value = self._picture.png


def _widgets() -> Any:
    extras.require("view", "Sliders", "ipywidgets", otherwise=", or leave out interactive=True")
    import ipywidgets

    return ipywidgets


def _slider(widgets: Any, name: str, count: int, value: int) -> Any:
    return widgets.IntSlider(value=value, min=0, max=count - 1, description=name, continuous_update=True)


def _calling(explorer: Explorer) -> Callable[[Any], None]:
    """Return a callback that does not keep the explorer alive; ipywidgets keeps every widget for ever."""
    known = weakref.ref(explorer)

    def moved(change: Any) -> None:
        if (alive := known()) is not None:
            alive._moved(change["owner"], change["new"])

    return moved


def _checked_number(what: str, number: Any, count: int) -> int:
    whole = slices.whole(number)
    if whole is None or not 0 <= whole < count:
        message = f"The {what} must be a whole number from 0 to {count - 1}, not {number!r}."
        raise OptionError(message, code="bad-value")
    return whole
