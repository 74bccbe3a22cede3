"""Predict one scan: its label map in its own geometry, or its class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medssl.errors import InputError
from medssl.inference.export import to_label_map, with_values
from medssl.inference.model import Model
from medssl.inference.window import Window, corners, sliding_window, windows_at_once
from medssl.methods.tuning.heights import HEIGHT, body_of, region_of
from medssl.store.process import Processed, process
from medssl.views.block import Block
from medssl.views.grid import Box, Grid
from medssl.views.sample import sample_block
from medssl.volume import Volume

Progress = Callable[[int, int], None]
Sequences = Sequence[tuple[Volume, str] | None]


def segment_scan(
    model: Model,
    volume: Volume,
    *,
    modality: str = "",
    overlap: float = 0.5,
    progress: Progress | None = None,
    sequences: Sequences = (),
) -> Volume:
    """The label map of a scan, with the scan's own shape and affine and the data set's own label values.

    Args:
        model: fine-tuned to segment.
        volume: as the reader gives it.
        modality: decides between the HU window and percentiles, as in the store.
        overlap: of the windows.
        progress: told after every window.
        sequences: for a model of studies, every channel's scan and modality, None where it is missing; ``volume`` is
            one of them, and its geometry is that of the answer.

    Raises:
        InputError: the scan has another number of channels.
    """
    done, image = _prepared(model, volume, modality, sequences)
    found = sliding_window(
        model.probabilities, image, model.crop, overlap=overlap, device=model.device, progress=progress
    )
    label = to_label_map(found.numpy(), done.image.affine, volume.shape, volume.affine)
    values = [0, *sorted(value for value in model.classes if value != 0)]
    return with_values(label, dict(enumerate(values)))


def classify_scan(
    model: Model,
    volume: Volume,
    *,
    modality: str = "",
    overlap: float = 0.5,
    progress: Progress | None = None,
    sequences: Sequences = (),
) -> dict[str, Any]:
    """Class probabilities of a scan, the mean over the windows centred in its body's box, and of each by itself.

    Args:
        model: fine-tuned to classify.
        volume: as the reader gives it.
        modality: as in ``segment_scan``.
        overlap: of the windows.
        progress: told after every window.
        sequences: as in ``segment_scan``.

    Returns:
        ``probabilities`` by class name (not for the target ``height``, which a scan as a whole has none of), and
        ``crops``: a list of ``probabilities`` in the order of the classes, for ``height`` with ``truth``, the part
        of the body by the window's place (a class number).
    """
    done, image = _prepared(model, volume, modality, sequences)
    padded, everywhere = _windows(model, image, overlap)
    # a window of the air around the body tells nothing of it
    places = [place for place in everywhere if _centred_in(done.body, place, model.crop)] or everywhere
    answers: list[NDArray[np.float32]] = []
    together = windows_at_once(model.crop)
    for start in range(0, len(places), together):
        some = places[start : start + together]
        crops = [padded[:, *(slice(a, a + n) for a, n in zip(place, model.crop, strict=True))] for place in some]
        answers += list(model.probabilities(torch.stack(crops)).cpu().numpy())
        if progress is not None:
            progress(len(answers), len(places))
    if model.settings.get("target", HEIGHT) != HEIGHT:
        mean = np.mean(answers, axis=0)
        names = model.classes.values()
        return {
            "probabilities": {name: round(float(p), 6) for name, p in zip(names, mean, strict=True)},
            "crops": [{"probabilities": [round(float(p), 6) for p in answer]} for answer in answers],
        }
    body = body_of(done.image.affine, done.body)
    found = []
    for place, answer in zip(places, answers, strict=True):
        step = np.eye(4)
        step[:3, 3] = place
        box = Box(done.image.affine @ step, model.crop)
        truth = region_of(box.to_numbers(), body, len(model.classes))
        found.append({"truth": truth, "probabilities": [round(float(p), 6) for p in answer]})
    return {"crops": found}


def _prepared(model: Model, volume: Volume, modality: str, sequences: Sequences) -> tuple[Processed, Tensor]:
    done = process(volume, model.store, modality=modality)
    image = torch.from_numpy(done.normalized())
    if sequences:
        image = torch.cat([_channel(model, done, image, volume, one) for one in sequences])
    expected = getattr(model.method.encoder, "in_channels", image.shape[0])
    if image.shape[0] != expected:
        raise InputError(
            f"expected {expected} channel{'s' * (expected > 1)}, got {image.shape[0]}", code="not-a-volume"
        )
    return done, image


def _channel(model: Model, done: Processed, image: Tensor, volume: Volume, one: tuple[Volume, str] | None) -> Tensor:
    """One sequence of a study on the grid of the scan that the answer is for; zeros where it is missing."""
    if one is None:
        return torch.zeros_like(image)
    if one[0] is volume:
        return image
    other = process(one[0], model.store, modality=one[1])
    block = Block(other.normalized(), (0, 0, 0), other.image.shape, other.image.affine, 1.0, 0.0)
    return sample_block(block, Grid.of(done.image.shape, done.image.affine))[0]


def _centred_in(body: NDArray[np.int64], place: Window, window: Window) -> bool:
    middle = np.asarray(place) + (np.asarray(window) - 1) / 2
    return bool(((middle >= body[0]) & (middle < body[1])).all())


def _windows(model: Model, image: Tensor, overlap: float) -> tuple[Tensor, list[tuple[int, int, int]]]:
    """The image padded at its far ends to a window at least, so that window places are stored voxels."""
    short = [max(0, size - length) for size, length in zip(model.crop, image.shape[1:], strict=True)]
    padded = torch.nn.functional.pad(image, [n for size in reversed(short) for n in (0, size)])
    i, j, k = padded.shape[1:]
    return padded, list(corners((i, j, k), model.crop, overlap))
