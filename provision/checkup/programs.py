"""What the Python scripts of MRtrix3 3.0.8 need besides MRtrix3, and what brings it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """What brings programs, variables and files.

    Attributes
    ----------
    elsewhere : str
        Where to get it if no role brings it.
    role : str
        The role that brings it, where this project has that role; empty if none ever does.
    folders : tuple of str
        Where its programs may be, off PATH; they may begin with a variable.
    """

    elsewhere: str
    role: str = ""
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Need:
    """A program or file that a script needs, or a variable if neither is given.

    Attributes
    ----------
    name : str
        What it is called in the findings; the name of the variable.
    source : str
        What brings it, a name in `SOURCES`.
    programs : tuple of str
        The programs, of which one suffices, in the order in which the script looks for them. A ``*`` at the end stands
        for nothing or a version, of which the script takes the newest.
    files : tuple of str
        The files or folders, of which one suffices, below a variable.
    value : str
        What to set the variable to, if that is not the folder of the source.
    chosen : str
        What the role's option ``ROLE_with`` has to list; empty for what the role always brings, None for what it never
        brings.
    optional : str
        What the script does with it, if it also runs without; empty if it does not.
    unless : str
        When the script does not need it.
    """

    name: str
    source: str
    programs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    value: str = ""
    chosen: str | None = ""
    optional: str = ""
    unless: str = ""


SOURCES = {
    "FSL": Source(
        "see https://fsl.fmrib.ox.ac.uk/fsl/docs/install/linux.html", "fsl", ("$FSLDIR/share/fsl/bin", "$FSLDIR/bin")
    ),
    "ANTs": Source(
        "Debian 13 has the package ants, for others see https://github.com/ANTsX/ANTs/releases",
        "ants",
        ("/usr/lib/ants",),
    ),
    "FreeSurfer": Source("see https://surfer.nmr.mgh.harvard.edu"),
    "ART": Source("see https://www.nitrc.org/projects/art", folders=("$ARTHOME/bin",)),
    "dc": Source("apt-get install dc"),
    "ImageMagick": Source("apt-get install imagemagick"),
    "Python 2": Source("most distributions no longer have it"),
}
"""What brings the programs, by the names under which people know it."""


def _fsl(name: str, chosen: str | None = "", optional: str = "", unless: str = "") -> Need:
    """Return the need of a program of FSL; Debian's packages once called it ``fsl5.0-NAME``."""
    return Need(name, "FSL", (name, f"fsl5.0-{name}"), chosen=chosen, optional=optional, unless=unless)


_FSLDIR = Need("FSLDIR", "FSL")
_OUTPUT_TYPE = Need("FSLOUTPUTTYPE", "FSL", value="NIFTI_GZ", optional="the format of the images that FSL writes")
_FIRST = _fsl("run_first_all", chosen="first")
_FIRST_MODELS = Need("FIRST's models", "FSL", files=("$FSLDIR/data/first/models_336_bin",), chosen="first")
_LOOKUP_TABLE = ("$FREESURFER_HOME/FreeSurferColorLUT.txt",)
_WITHOUT_TOPUP = "with -rpe_none"
_NO_MASK = "not used with -mask or -premasked"
_SUBFIELDS = "for subjects with FreeSurfer's segmentation of hippocampal subfields"
_COMMISSURE = "segments the anterior commissure"
_DEEP = "segments the thalami, and the hippocampi of subjects without subfields"

NEEDS: dict[str, tuple[Need, ...]] = {
    "5ttgen freesurfer": (
        Need("FREESURFER_HOME", "FreeSurfer", unless="with -lut"),
        Need("FreeSurferColorLUT.txt", "FreeSurfer", files=_LOOKUP_TABLE, unless="with -lut"),
    ),
    "5ttgen fsl": (
        _FSLDIR,
        _fsl("bet"),
        _fsl("fast"),
        _FIRST,
        _fsl("standard_space_roi", chosen=None),
        _FIRST_MODELS,
        _OUTPUT_TYPE,
        Need("dc", "dc", ("dc",), optional=f"programs of FSL may fail without it; {_NO_MASK}"),
        Need(
            "MNI152 mask",
            "FSL",
            files=(
                "$FSLDIR/data/standard/MNI152_T1_1mm_brain_mask_dil.nii.gz",
                "$FSLDIR/data/standard/MNI152_T1_2mm_brain_mask_dil.nii.gz",
            ),
            chosen=None,
            optional=f"what the image is cropped to before bet; {_NO_MASK}",
        ),
    ),
    "5ttgen gif": (),
    "5ttgen hsvs": (
        Need("FSLDIR", "FSL", optional="the programs of FSL are used only with it"),
        _fsl("fast", optional="segments the cerebellum"),
        _fsl("run_first_all", chosen="first", optional=_DEEP),
        Need("FIRST's models", "FSL", files=_FIRST_MODELS.files, chosen="first", optional=_DEEP),
        _OUTPUT_TYPE,
        Need("ARTHOME", "ART", optional=_COMMISSURE),
        Need("acpcdetect", "ART", ("acpcdetect",), optional=_COMMISSURE),
        Need("FREESURFER_HOME", "FreeSurfer", optional=_SUBFIELDS),
        Need("FreeSurferColorLUT.txt", "FreeSurfer", files=_LOOKUP_TABLE, optional=_SUBFIELDS),
    ),
    "blend": (
        Need("convert", "ImageMagick", ("convert",)),
        Need("python2", "Python 2", ("python2",), unless="if you type python3 $(command -v blend)"),
    ),
    "convert_bruker": (),
    "dwi2response dhollander": (),
    "dwi2response fa": (),
    "dwi2response manual": (),
    "dwi2response msmt_5tt": (),
    "dwi2response tax": (),
    "dwi2response tournier": (),
    "dwibiascorrect ants": (Need("N4BiasFieldCorrection", "ANTs", ("N4BiasFieldCorrection",)),),
    "dwibiascorrect fsl": (_FSLDIR, _fsl("fast"), _OUTPUT_TYPE),
    "dwicat": (),
    "dwifslpreproc": (
        _FSLDIR,
        Need("b02b0.cnf", "FSL", files=("$FSLDIR/etc/flirtsch/b02b0.cnf",), unless=_WITHOUT_TOPUP),
        _fsl("topup", unless=_WITHOUT_TOPUP),
        _fsl("applytopup", unless=_WITHOUT_TOPUP),
        Need("eddy", "FSL", ("eddy_cuda*", "eddy_openmp", "eddy_cpu", "eddy", "fsl5.0-eddy")),
        _OUTPUT_TYPE,
        Need(
            "eddy_quad",
            "FSL",
            ("eddy_quad",),
            chosen="eddy_quad",
            optional="writes the report of -eddyqc_text and -eddyqc_all",
        ),
    ),
    "dwigradcheck": (),
    "dwinormalise group": (),
    "dwinormalise individual": (),
    "dwishellmath": (),
    "for_each": (),
    "labelsgmfix": (_FSLDIR, _FIRST, _FIRST_MODELS),
    "mrtrix_cleanup": (),
    "population_template": (),
    "responsemean": (),
}
"""What each Python script needs, for scripts with algorithms by both names."""


def scripts() -> dict[str, tuple[str, ...]]:
    """Return the algorithms of each script; none for a script without algorithms.

    Returns
    -------
    dict of str to tuple of str
        In alphabetical order.

    Examples
    --------
    >>> scripts()["dwibiascorrect"]
    ('ants', 'fsl')
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in NEEDS:
        script, *algorithm = name.split()
        found[script] = (*found.get(script, ()), *algorithm)
    return found
