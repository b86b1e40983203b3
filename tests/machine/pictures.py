"""Runs on a machine with MRtrix3: compares what pictures show with what mrdump and mrinfo say, voxel by voxel.

Prints a JSON object: how many images were compared, and for each that differs what did. Its argument is how many images
to make up at random, besides those that are odd in known ways.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import subprocess
import sys
import warnings
from pathlib import Path

import nibabel
import numpy as np
from nibabel.orientations import apply_orientation, io_orientation

import provision
from provision.pictures import glyphs, view
from provision.pictures.drawing import PLANES

AXES = ("-config", "RealignTransform", "true", "-quiet")


def said(command: str, path: Path, *options: str) -> list[str]:
    return subprocess.run(
        [command, str(path), *options, *AXES], check=True, capture_output=True, text=True
    ).stdout.split()


def dumped(path: Path) -> np.ndarray:
    """Return the values of an image as mrdump prints them, shape (X, Y, Z[, V])."""
    # Of scaled whole numbers it would print whole ones.
    exact = Path("exact.mif")
    said("mrconvert", path, str(exact), "-datatype", "float64", "-force")
    path = exact
    size, strides = ([int(one) for one in said("mrinfo", path, what)] for what in ("-size", "-strides"))
    order = np.argsort(np.abs(strides))  # mrdump follows the file, whichever way each axis runs
    values = np.array(said("mrdump", path), float)
    values = values.reshape([size[axis] for axis in order], order="F").transpose(np.argsort(order))
    return values.reshape(*size, *[1] * (3 - len(size)))


def placed(path: Path) -> np.ndarray:
    """Return the affine of an image as mrinfo prints it."""
    place = np.array(said("mrinfo", path, "-transform"), float).reshape(4, 4)
    spacing = [float(one) for one in said("mrinfo", path, "-spacing")][:3]
    return place @ np.diag([*spacing, *[1.0] * (3 - len(spacing)), 1.0])


def problems(path: Path) -> list[str]:
    """Return what pictures show otherwise than the file has it."""
    values, affine = dumped(path), placed(path)
    volume = values.shape[3] - 1 if values.ndim > 3 else 0
    expected = values[..., volume] if values.ndim > 3 else values
    rng = np.random.default_rng(len(path.name))
    focus = tuple(int(rng.integers(count)) for count in expected.shape)
    given = {"path": path}
    with contextlib.suppress(ValueError, nibabel.filebasedimages.ImageFileError):  # what nibabel cannot read
        given["nibabel"] = nibabel.load(path)
    found = []
    for kind, image in given.items():
        picture = provision.peek(image, focus=focus, volume=volume, smooth=False)
        for panel, plane in enumerate(PLANES.values()):
            axes = picture.figure.axes[panel]
            shown = np.asarray(axes.images[0].get_array().filled(np.nan)).swapaxes(0, 1)
            wanted = plane.slice(expected, focus[plane.through])
            if not np.allclose(shown, wanted, rtol=1e-5, atol=1e-6 * np.nanmax(np.abs(expected)), equal_nan=True):
                found.append(f"{kind}: {plane.name} values")
            # The centre of the first voxel is at 0, across to the left and up.
            if not (axes.xaxis_inverted() and axes.images[0].origin == "lower"):
                found.append(f"{kind}: {plane.name} is turned")
        x, y, z = (affine @ [*focus, 1])[:3]
        if f"{x:.1f}, {y:.1f}, {z:.1f} mm" not in (said_below := picture.figure.texts[1].get_text()):
            found.append(f"{kind}: place {x:.1f}, {y:.1f}, {z:.1f} is not in {said_below}")
    first = values if values.ndim == 3 else values[..., 0]
    return found + in_the_browser(path, expected, affine, volume) + behind_glyphs(path, first, affine)


def in_the_browser(path: Path, expected: np.ndarray, affine: np.ndarray, volume: int) -> list[str]:
    """Return what the image sent to a browser has otherwise than the file."""
    viewer = provision.view(path, volume=volume)
    sent = nibabel.Nifti1Image.from_bytes(gzip.decompress(bytes(viewer.niivue.volumes[0].data)))
    found = []
    if not np.allclose(sent.get_fdata(), np.nan_to_num(expected), rtol=1e-5, atol=1e-6 * np.nanmax(np.abs(expected))):
        found.append("view: values")
    if not np.allclose(sent.affine, affine, atol=1e-3):
        found.append(f"view: {sent.affine.round(3).tolist()} is not {affine.round(3).tolist()}")
    return found


def behind_glyphs(path: Path, expected: np.ndarray, affine: np.ndarray) -> list[str]:
    """Return where the background of FODs on the image's own grid is otherwise than the file."""
    fods = Path("fods.nii")
    nibabel.save(nibabel.Nifti1Image(np.ones((*expected.shape, 6), np.float32), affine), fods)
    # Of axes at 45 degrees, rounding decides which is the nearest to the right.
    expected = apply_orientation(expected, io_orientation(np.linalg.inv(placed(fods)) @ affine))
    found = []
    for plane in PLANES.values():
        index = expected.shape[plane.through] // 2
        picture = provision.glyphs(
            fods, kind="fod", background=path, plane=plane.name, slice=index, region="all", size=200
        )
        shown = np.asarray(picture.figure.axes[0].images[0].get_array())[..., 0].astype(float).T
        wanted = plane.slice(expected, index)
        for axis, (pixels, count) in enumerate(zip(shown.shape, wanted.shape, strict=True)):
            at = (np.arange(pixels) + 0.5) / pixels * count - 0.5
            wanted = np.apply_along_axis(lambda line, at=at: np.interp(at, np.arange(len(line)), line), axis, wanted)
        low, high = np.percentile(wanted, (1, 99))
        grey = 127.5 * np.clip((wanted - low) / ((high - low) or 1), 0, 1)
        if np.abs(shown - grey).max() > 2:
            found.append(f"glyphs: {plane.name} background")
    return found


def made(folder: Path, number: int) -> Path:
    """Write an image that is odd in a way that follows from the number, and return its path."""
    rng = np.random.default_rng(number)
    shape = [int(one) for one in rng.integers(2, 9, 3)]
    if number % 5 == 1:
        shape[rng.integers(3)] = 1  # one voxel thick
    if number % 5 == 2:
        shape.append(int(rng.integers(2, 4)))
    values = rng.integers(-500, 500, shape).astype(rng.choice(["i2", "f4", "u1", "f8", "i4"]))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))  # with a flip in half of them
    if number % 3 == 0:
        rotation = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = rotation * rng.uniform(0.5, 4, 3), rng.uniform(-90, 90, 3)
    image = nibabel.Nifti1Image(values[::-1] if number % 2 else values, affine)
    if number % 7 == 0:  # scaled
        image.header.set_slope_inter(2.5, -10)
    forms = number % 4
    image.set_sform(affine if forms != 1 else None, int(forms != 1))
    other = affine.copy()
    if forms == 3:  # the two forms disagree
        other[:3, 3] += 20
    image.set_qform(other if forms != 2 else None, int(forms != 2))
    path = folder / f"{number}{('.nii', '.nii.gz')[number % 2]}"
    nibabel.save(image, path)
    if number % 6 == 0:
        layout = ",".join(f"{rng.choice([-1, 1]) * (axis + 1)}" for axis in rng.permutation(len(shape)))
        turned = folder / f"{number}.mif"
        subprocess.run(["mrconvert", "-quiet", path, turned, "-strides", layout], check=True)
        return turned
    return path


def known(folder: Path) -> list[Path]:
    """Write images that other readers take otherwise than MRtrix3, or refuse, and return their paths."""
    values = np.arange(20 * 24 * 16, dtype=np.int16).reshape(20, 24, 16)
    noform, rotated = nibabel.Nifti1Image(values, None), nibabel.Nifti1Image(values, np.eye(4))
    noform.header["pixdim"][1:4] = 2
    rotated.set_sform(None, 0)
    rotated.set_qform(np.diag([-1.0, -1, 1, 1]), 1)
    nibabel.save(noform, folder / "noform.nii")
    nibabel.save(rotated, folder / "quaternion.nii")
    with (folder / "quaternion.nii").open("r+b") as file:
        # b^2 + c^2 + d^2 = 1 + 4.7e-7, as some scanners round a half turn; the field is NIfTI-1's quatern_d.
        file.seek(264)
        file.write(np.float32(1 + 2.35e-7).tobytes())
    nibabel.AnalyzeImage(values, np.diag([-2.0, 2, 2, 1])).to_filename(folder / "analyze.img")
    names = ["noform.nii", "quaternion.nii", "analyze.img"]
    for axes in ((0, 1), (0, 2), (1, 2)):  # two axes are as near to the right, the front or the head
        turned = np.diag([2.0, 2, 2, 1])
        turned[np.ix_(axes, axes)] = np.sqrt(2) * np.array([[1, -1], [1, 1]])
        names.append(f"half{axes[0]}{axes[1]}.nii")
        nibabel.save(nibabel.Nifti1Image(values, turned), folder / names[-1])
    return [folder / name for name in names]


def main(count: int) -> None:
    warnings.simplefilter("ignore")
    view._check_notebook = lambda: None
    glyphs._draw = lambda scene: np.zeros((*scene["pixels"][::-1], 4), np.uint8)  # the background alone
    folder = Path("made")
    folder.mkdir()
    paths = [*known(folder), *(made(folder, number) for number in range(count))]
    differing = {}
    for path in paths:
        if wrong := problems(path):
            differing[str(path)] = wrong
    print(json.dumps({"compared": len(paths), "differing": differing}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
