"""What the samples are made of: three pinned packages, the files taken from each, and one row for each scan."""

from __future__ import annotations

from dataclasses import dataclass

from medssl.datasets.registry_fetch import Pin

SEGMENTATOR = Pin("TotalSegmentator", "2.18.0", "5d4223ef93973bc36d710869d11e7742ead2c154c72f7f9edcaaadd5b6c4bd03")
RADIOMICS = Pin("pyradiomics", "3.0.1", "47c57f441d6cb7973fa3b2ea48d3948df78e3348e1c69e1e2ff19001601fc2f5")
NILEARN = Pin("nilearn", "0.14.1", "725206484e9fb3f6691f9c2d20204a068759d5072f12055324702ee0cb2bbe8a", wheel=True)

PINS = (SEGMENTATOR, RADIOMICS, NILEARN)

_S = "totalsegmentator-2.18.0/"
_REF = _S + "tests/reference_files/"
_AORTA = _REF + "aorta_report/test_result/models/"
_LUNG_ARTERY = _REF + "pulmonary_report/models/"
_R = "pyradiomics-3.0.1/"
_N = "nilearn/datasets/data/mni_icbm152_"

# the series is known by its instance numbers, so that no identifier of a file name is carried on
_SERIES = "example_ct_dicom/CT.1.3.12.2.1107.5.1.4.60064.30000022120808113428000016"

NAME_TABLE = "label_names.txt"

PARTS = ("aorta", "brachiocephalic_trunk", "common_carotid_artery_left", "subclavian_artery_left", "vertebrae_T12")
"""Single organs of the chest CT on a cropped grid."""

PARTLY = "parts"
"""Stands for a table of label names where single organs are marked, each in a file of its own name."""

MEMBERS: dict[str, dict[str, str]] = {
    SEGMENTATOR.name: {
        _S + "LICENSE": "licences/TotalSegmentator.txt",
        _S + "totalsegmentator/map_to_binary.py": NAME_TABLE,
        _REF + "example_ct.nii.gz": "images/abdomen_ct.nii.gz",
        _REF + "example_seg_fast_force_split.nii.gz": "organs/abdomen_ct.nii.gz",
        _REF + "aorta_report/example_ct.nii.gz": "images/chest_ct.nii.gz",
        **{_AORTA + f"{part}.nii.gz": f"organs/chest_ct/{part}.nii.gz" for part in PARTS},
        _LUNG_ARTERY + "heart.nii.gz": "organs/chest_ct/heart.nii.gz",
        _LUNG_ARTERY + "pulmonary_artery.nii.gz": "organs/chest_ct/pulmonary_artery.nii.gz",
        _REF + "example_mr_sm.nii.gz": "images/abdomen_mr.nii.gz",
        _REF + "example_seg_mr.nii.gz": "organs/abdomen_mr.nii.gz",
        **{_REF + f"{_SERIES}{number}": f"images/liver_ct/{number - 573:02d}.dcm" for number in range(573, 593)},
        _REF + "example_seg_dicom.nii.gz": "organs/liver_ct.nii.gz",
    },
    RADIOMICS.name: {
        _R + "LICENSE.txt": "licences/pyradiomics.txt",
        **{
            _R + f"data/{scan}_{kind}.nrrd": f"{folder}/{scan}.nrrd"
            for scan in ("brain1", "brain2", "breast1", "lung1", "lung2")
            for kind, folder in (("image", "images"), ("label", "masks"))
        },
    },
    NILEARN.name: {
        "nilearn-0.14.1.dist-info/licenses/LICENSE": "licences/nilearn.txt",
        _N + "t1_tal_nlin_sym_09a_converted.nii.gz": "images/mni_t1.nii.gz",
        _N + "gm_tal_nlin_sym_09a_converted.nii.gz": "masks/mni_grey.nii.gz",
        _N + "wm_tal_nlin_sym_09a_converted.nii.gz": "masks/mni_white.nii.gz",
    },
}
"""Package → member of its archive → path in the samples' folder."""


@dataclass(frozen=True)
class Sample:
    """One row of the samples' manifest.

    Args:
        name: of the scan, unique.
        image: path of the scan.
        modality: CT or MR.
        region: part of the body, a target for classification.
        patient: who it is; the same for files of the same scan.
        test: whether it is kept for testing.
        organs: table of label names of its organ map (``total`` or ``total_mr``), ``parts`` where single organs are
            marked and the rest is unknown, empty without any.
        masks: other masks, that are no labels in the five groups.
        thin: scan whose slices this one's are made of, where it is a second series of the same acquisition.
        flags: what a careful reader should know.
    """

    name: str
    image: str
    modality: str
    region: str
    patient: str
    test: bool = False
    organs: str = ""
    masks: str = ""
    thin: str = ""
    flags: tuple[str, ...] = ()


SAMPLES: tuple[Sample, ...] = (
    Sample("abdomen_ct", "images/abdomen_ct.nii.gz", "CT", "abdomen", "abdomen_ct", organs="total"),
    Sample("chest_ct", "images/chest_ct.nii.gz", "CT", "chest", "chest_ct", organs=PARTLY, flags=("partly_labelled",)),
    # archives hold thin and thick series of one acquisition: something for the redundancy step
    Sample("chest_ct_thick", "images/chest_ct_thick.nii.gz", "CT", "chest", "chest_ct", thin="images/chest_ct.nii.gz"),
    Sample(
        "abdomen_mr",
        "images/abdomen_mr.nii.gz",
        "MR",
        "abdomen",
        "abdomen_mr",
        organs="total_mr",
        flags=("bones_without_ribs",),
    ),
    Sample("liver_ct", "images/liver_ct", "CT", "abdomen", "liver_ct", test=True, organs="total"),
    Sample("brain1", "images/brain1.nrrd", "MR", "head", "brain1", masks="masks/brain1.nrrd"),
    Sample("brain2", "images/brain2.nrrd", "MR", "head", "brain2", test=True, masks="masks/brain2.nrrd"),
    Sample("breast1", "images/breast1.nrrd", "MR", "", "breast1", masks="masks/breast1.nrrd"),
    Sample("lung1", "images/lung1.nrrd", "CT", "chest", "lung1", masks="masks/lung1.nrrd"),
    Sample("lung2", "images/lung2.nrrd", "CT", "chest", "lung2", test=True, masks="masks/lung2.nrrd"),
    Sample("mni_t1", "images/mni_t1.nii.gz", "MR", "head", "mni", masks="masks/mni_grey.nii.gz masks/mni_white.nii.gz"),
)

LICENCES = {SEGMENTATOR.name: "Apache-2.0", RADIOMICS.name: "BSD-3-Clause", NILEARN.name: "BSD-3-Clause"}


def origin_of(image: str) -> str:
    """Package, version and licence of a sample's image.

    Example:
        >>> origin_of("images/brain1.nrrd")
        'pyradiomics 3.0.1, BSD-3-Clause'
    """
    sample = next((sample for sample in SAMPLES if sample.image == image), None)
    wanted = (sample.thin or sample.image) if sample is not None else image
    for pin in PINS:
        if any(target == wanted or target.startswith(f"{wanted}/") for target in MEMBERS[pin.name].values()):
            return f"{pin.name} {pin.version}, {LICENCES[pin.name]}"
    return ""
