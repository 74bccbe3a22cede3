"""Converting a small scan imports only what its formats need: which modules, not how long they take."""

from __future__ import annotations

import subprocess
import sys

import pytest

from medssl.io.write import write
from tests.io.scans import volume, write_slices

HEAVY = ("torch", "scipy", "SimpleITK", "nibabel", "pydicom", "highdicom", "monai", "matplotlib", "sklearn", "pandas")
CONVERT = """
import sys
from medssl.cli import run
code = run(["convert", *sys.argv[1:3]])
print(",".join(name for name in sys.argv[3].split(",") if name in sys.modules))
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("source", "target", "needed"),
    [
        (".nii.gz", ".nii.gz", ""),
        (".nrrd", ".npz", ""),
        (".mha", ".nii", ""),
        (".npz", ".mha", "SimpleITK"),
        ("DICOM", ".nii.gz", "pydicom"),
    ],
)
def test_convert_imports_only_what_it_needs(tmp_path, source, target, needed):
    path = tmp_path / f"a{source}"
    if source == "DICOM":
        write_slices(path)
    else:
        write(volume(), path)
    command = [sys.executable, "-c", CONVERT, path, tmp_path / f"b{target}", ",".join(HEAVY)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    assert set(answer.stdout.splitlines()[-1].split(",")) <= {needed}
    assert (tmp_path / f"b{target}").is_file()
