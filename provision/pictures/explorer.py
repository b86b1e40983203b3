"""Sliders for the slices and volumes of an image, in a notebook cell."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

from provision import extras
from provision.pictures import checks
from provision.pictures.checks import View
from provision.pictures.overlays import Overlay
from provision.pictures.slices import Slices

if TYPE_CHECKING:
    from provision.pictures.picture import Picture
    from provision.pictures.reader import Reader


class Explorer:
    """Slices of an image, with sliders for the planes and the volume.

    All slices and volumes share one range of intensities, so that the brightness does not jump: the range given, or
    that of the first volume shown. In a diffusion series the volumes at high b-values therefore appear dark beside
    those at b = 0; set `range` to see them better.

    A compressed image is decompressed into a temporary folder once. That is deleted with the object, by `close`, or
    when Python exits.

    Parameters
    ----------
    reader : provision.pictures.reader.Reader
        The image.
    view : provision.pictures.checks.View
        What to show first.
    overlays : sequence of provision.pictures.overlays.Overlay
        What to draw over it.

    Raises
    ------
    provision.errors.ProvisionError
        If ipywidgets is not installed.

    Examples
    --------
    >>> explorer = provision.peek("dwi.nii.gz", interactive=True)  # doctest: +SKIP
    >>> explorer.volume = 12  # doctest: +SKIP
    >>> explorer.picture  # doctest: +SKIP
    <Picture 900 x 330: slices of dwi.nii.gz at voxel (24, 24, 10), volume 12, intensities from 0 to 1016>
    """

    def __init__(self, reader: Reader, view: View, overlays: Sequence[Overlay] = ()):
        widgets = _widgets()
        self._reader = reader
        if reader.header.volumes > 1:
            reader.decompress()
        self._drawing = Slices(reader, view, overlays)
        self._drawing.view = replace(view, range=self._drawing.range)
        self._picture = self._drawing.picture
        self._failure: Exception | None = None
        self._make_widgets(widgets)

    @property
    def picture(self) -> Picture:
        """The current picture; if it could not be drawn, the error is raised."""
        if self._failure is not None:
            raise self._failure
        return self._picture

    @property
    def focus(self) -> tuple[int, int, int]:
        """The voxel x, y, z that the slices pass through; setting it redraws them."""
        return self._drawing.view.focus

    @focus.setter
    def focus(self, voxel: Sequence[int]) -> None:
        numbers = checks.checked_focus(voxel, self._reader.header.shape)
        self._redraw(focus=numbers)
        for axis, slider in self._sliders.items():
            slider.value = numbers[axis]
        self.picture  # noqa: B018

    @property
    def volume(self) -> int:
        """The current volume, counted from 0; setting it redraws the slices."""
        return self._drawing.view.volume

    @volume.setter
    def volume(self, number: int) -> None:
        number = checks.checked_number("volume", number, self._reader.header.volumes)
        if self._volume_slider is not None:
            self._volume_slider.value = number
        self.picture  # noqa: B018

    @property
    def range(self) -> tuple[float, float]:
        """The intensities of the darkest and brightest colour; setting it redraws the slices."""
        return self._drawing.range

    @range.setter
    def range(self, limits: Sequence[float]) -> None:
        self._redraw(range=checks.checked_range(limits))
        self.picture  # noqa: B018

    @property
    def widget(self) -> Any:
        """The ``ipywidgets.VBox`` with the sliders and the picture, for use among other widgets."""
        # The notebook may show it for as long as it likes, and the sliders need this object.
        self._box.explorer = self
        return self._box

    def close(self) -> None:
        """Remove the sliders and delete the temporary folder."""
        self._box.close()
        self._reader.close()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        # The picture beside the sliders is what remains where these no longer work: in a saved notebook, or on GitHub.
        picture, about = self._picture._repr_mimebundle_()
        view = {"model_id": self.widget.model_id, "version_major": 2, "version_minor": 0}
        bundle = {**picture, "text/plain": repr(self), "application/vnd.jupyter.widget-view+json": view}
        display(bundle, metadata=about, raw=True)

    def __repr__(self) -> str:
        header = self._reader.header
        return f"<Explorer of {header.name}: {' x '.join(map(str, header.shape))}>"

    def _make_widgets(self, widgets: Any) -> None:
        header, view = self._reader.header, self._drawing.view
        planes = view.planes if view.slices is None else ()
        self._sliders = {
            plane.through: _slider(widgets, plane.name, header.shape[plane.through], view.focus[plane.through])
            for plane in planes
        }
        several = header.volumes > 1
        self._volume_slider = _slider(widgets, "volume", header.volumes, view.volume) if several else None
        self._image, self._message = widgets.Image(format="png", value=self._picture.png), widgets.HTML()
        controls = [*self._sliders.values(), *filter(None, [self._volume_slider])]
        self._box = widgets.VBox([*controls, self._message, self._image])
        for control in controls:
            control.observe(_calling(self), names="value")

    def _moved(self, control: Any, value: Any) -> None:
        """Take over the value of a slider, and redraw the slices."""
        if control is self._volume_slider:
            self._redraw(volume=value)
            return
        focus = list(self.focus)
        focus[next(axis for axis, slider in self._sliders.items() if slider is control)] = value
        if tuple(focus) != self.focus:
            self._redraw(focus=tuple(focus))

    def _redraw(self, **changes: Any) -> None:
        """Draw anew, or show below the sliders why that cannot be done."""
        try:
            self._drawing.move(replace(self._drawing.view, **changes))
            self._picture, self._failure = self._drawing.picture, None
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
