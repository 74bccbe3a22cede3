"""Problems that only voxels show: scans that are refused, labels that do not fit, values nobody declared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medssl.errors import MedsslError
from medssl.io.manifests.check_copies import Print, print_of
from medssl.io.manifests.problems import Problem
from medssl.io.read import holds_label, read_label, read_record
from medssl.manifest import Manifest, Record
from medssl.volume import Volume


@dataclass(frozen=True)
class Look:
    """What reading one row gave.

    Args:
        record: the row.
        problems: what is wrong with its image or label.
        print: of its voxels; None where the image is refused.
    """

    record: Record
    problems: tuple[Problem, ...]
    print: Print | None


def look_at(manifest: Manifest, record: Record) -> Look:
    """Read a row's image and label; a label is looked at even where its image is refused."""
    problems: list[Problem] = []
    image = found = None
    try:
        image = read_record(manifest, record)
        found = print_of(image)
    except MedsslError as error:
        problems.append(_problem(record, error))
    try:
        problems += label_problems(manifest, record, image)
    except MedsslError as error:
        problems.append(_problem(record, error))
    return Look(record, tuple(problems), found)


def _problem(record: Record, error: MedsslError) -> Problem:
    where = Path(error.path).name + ": " if error.path else ""
    return Problem(record.line, error.code, f"{where}{error.reason}")


def label_problems(manifest: Manifest, record: Record, image: Volume | None) -> list[Problem]:
    """Values of a label map that are no declared class, and a map without any."""
    try:
        path = manifest.resolve_label(record)
    except MedsslError:
        # told with the paths
        return []
    if path is None or (image is None and holds_label(path)):
        # a DICOM label lies on its image's grid
        return []
    label = read_label(path, image, classes=manifest.classes)
    values = {int(value) for value in np.unique(label.data)}
    odd = [flag for flag in label.flags if image is not None and flag not in image.flags]
    out = []
    if odd:
        out.append(Problem(record.line, "label", f"{record.label} is flagged {', '.join(odd)}", "warning"))
    # -1 says that nobody has looked: partly labelled scans
    undeclared = sorted(values - set(manifest.classes) - {0, -1})
    if manifest.classes and undeclared:
        shown = ", ".join(map(str, undeclared[:10])) + (", …" if len(undeclared) > 10 else "")
        out.append(Problem(record.line, "label", f"{record.label} has values that are no declared class: {shown}"))
    if not values - {0, -1}:
        out.append(Problem(record.line, "label", f"{record.label} is empty", "warning"))
    return out
