"""Texture phantoms: blocks of tissue whose organs share every value and differ only in how the values are arranged.

The values inside every organ are the same sample of a normal distribution, so that neither mean, variance nor any
other number of a histogram tells organs apart; each is arranged as one of ``TEXTURES``, a field of its own correlation
length and shape. Organs lie in another place in every patient and fibres run in another direction, so that place and
direction tell nothing either. The scanner then adds what differs between patients: gain, bias field and noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medssl import draws
from medssl.errors import UsageError
from medssl.volume import Volume

MEAN, SPREAD = 100.0, 20.0
"""Of the values of every organ, before the scanner."""

NOISE = (0.05, 0.35)
"""Standard deviation of the scanner's noise over that of the tissue."""

BIAS, GAIN = 0.06, (0.5, 2.0)
"""Largest slope and curvature of the logarithm of the bias field over half the block; the factor on all values."""

_FIRST = 1000
"""The draws of a patient lie beyond those of ``phantoms.phantom``, so that one seed gives both without a relation."""

Field = NDArray[np.float64]


@dataclass(frozen=True)
class Texture:
    """A stationary random field.

    Args:
        length_mm: correlation lengths along three axes at right angles; the axes are turned at random.
        wave_mm: wavelength of ripples, or None for a field without a preferred one.
    """

    length_mm: tuple[float, float, float]
    wave_mm: float | None = None


TEXTURES: dict[str, Texture] = {
    "fine": Texture((0.7, 0.7, 0.7)),
    "medium": Texture((1.4, 1.4, 1.4)),
    "coarse": Texture((2.8, 2.8, 2.8)),
    "fibres": Texture((4.5, 0.9, 0.9)),
    "sheets": Texture((3.0, 3.0, 0.8)),
    "ripples": Texture((3.0, 3.0, 3.0), wave_mm=5.0),
}
"""Texture by organ; label values count them from 1."""

ORGANS: dict[int, str] = dict(enumerate(TEXTURES, start=1))
"""Label value to name."""


def texture_phantom(
    seed: int,
    index: int,
    shape: tuple[int, int, int] = (48, 48, 48),
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    scanned: bool = True,
) -> tuple[Volume, Volume]:
    """One texture phantom and its label map.

    Args:
        seed: as everywhere.
        index: number of the patient.
        shape: voxels along i, j and k, 8 or more.
        spacing_mm: voxel size; textures are of a size in millimetres.
        scanned: False leaves gain, bias field and noise out.

    Returns:
        The scan (float32, modality MR) and its labels (uint8, values of ``ORGANS``, no background), one channel each.

    Raises:
        UsageError: an axis has fewer than 8 voxels, or a voxel no size.

    Example:
        >>> scan, label = texture_phantom(0, 1, shape=(16, 16, 16), scanned=False)
        >>> [round(float(scan.data[label.data == organ].std())) for organ in ORGANS]
        [20, 20, 20, 20, 20, 20]
    """
    if min(shape) < 8 or min(spacing_mm) <= 0:
        raise UsageError(f"a texture phantom has 8 voxels or more along each axis, got {shape} of {spacing_mm} mm")
    part = _organs(draws.generator(seed, draws.PHANTOM, index, _FIRST), shape)
    data = np.empty(shape)
    for value, texture in enumerate(TEXTURES.values(), start=1):
        rng = draws.generator(seed, draws.PHANTOM, index, _FIRST + value)
        inside = part == value
        data[inside] = arranged_like(texture_field(texture, rng, shape, spacing_mm)[inside], rng)
    data = MEAN + SPREAD * data
    if scanned:
        data = _scanner(draws.generator(seed, draws.PHANTOM, index, _FIRST + len(TEXTURES) + 1), data)
    affine = np.diag([*spacing_mm, 1.0])
    tags = {"modality": "MR"}
    scan = Volume(data.astype(np.float32)[None], affine, tags=dict(tags))
    return scan, Volume(part[None], affine.copy(), tags=dict(tags))


def texture_field(
    texture: Texture,
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Field:
    """White noise through the filter of a texture, whose axes are turned at random; periodic, of no special scale.

    Args:
        texture: which.
        rng: of the noise and the turn.
        shape: voxels along i, j and k.
        spacing_mm: voxel size.
    """
    steps = [np.fft.fftfreq(n, d) for n, d in zip(shape[:2], spacing_mm[:2], strict=True)]
    steps.append(np.fft.rfftfreq(shape[2], spacing_mm[2]))
    waves = 2 * np.pi * np.stack(np.meshgrid(*steps, indexing="ij"))
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    along = np.einsum("ab,bijk->aijk", axes, waves) * np.asarray(texture.length_mm)[:, None, None, None]
    if texture.wave_mm is None:
        square = (along**2).sum(0)
    else:
        # a shell of one radius, as thick as the correlation length says
        radius = np.sqrt((waves**2).sum(0))
        square = ((radius - 2 * np.pi / texture.wave_mm) * min(texture.length_mm)) ** 2
    noise = np.fft.rfftn(rng.normal(size=shape))
    field: Field = np.fft.irfftn(noise * np.exp(-square / 2), s=shape, axes=(0, 1, 2))
    return field


def arranged_like(field: Field, rng: np.random.Generator) -> Field:
    """A normal sample of mean 0 and standard deviation 1 in the order of a field's values.

    Args:
        field: ``(n,)``, two or more.
        rng: of the sample.

    Example:
        >>> values = arranged_like(np.array([5.0, -9.0, 7.0]), np.random.default_rng(0))
        >>> np.argsort(values).tolist(), round(float(values.std()), 6), abs(float(values.mean())) < 1e-12
        ([1, 0, 2], 1.0, True)
    """
    sample = np.sort(rng.standard_normal(field.size))
    sample = (sample - sample.mean()) / sample.std()
    out: Field = np.empty_like(sample)
    out[np.argsort(field, kind="stable")] = sample
    return out


def _organs(rng: np.random.Generator, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Eight lumps around the corners of a cube, with wavy borders; every organ has one of them, two organs have two."""
    kinds = np.concatenate([np.arange(len(TEXTURES)), rng.permutation(len(TEXTURES))[:2]]) + 1
    corners = np.stack(np.meshgrid(*[(0.25, 0.75)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    centres = corners + rng.uniform(-0.06, 0.06, corners.shape)
    place = np.stack(np.meshgrid(*((np.arange(n) + 0.5) / n for n in shape), indexing="ij"))
    phase, wave = rng.uniform(0, 2 * np.pi, (2, 3)), rng.uniform(6.0, 12.0, 3)
    for axis in range(3):
        other = place[(axis + 1) % 3]
        place[axis] += 0.03 * np.sin(wave[axis] * other + phase[0, axis]) * np.sin(5.0 * other + phase[1, axis])
    far = ((place[None] - centres[:, :, None, None, None]) ** 2).sum(1)
    found: NDArray[np.uint8] = rng.permutation(kinds)[far.argmin(0)].astype(np.uint8)
    return found


def _scanner(rng: np.random.Generator, data: Field) -> Field:
    """A smooth bias, noise and a gain, all drawn for the patient."""
    place = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in data.shape), indexing="ij"))
    slope, bend = rng.uniform(-BIAS, BIAS, (2, 3, 1, 1, 1))
    biased = data * np.exp((slope * place + bend * place**2).sum(0))
    noise = rng.uniform(*NOISE) * SPREAD
    gain = np.exp(rng.uniform(*np.log(GAIN)))
    out: Field = gain * np.maximum(biased + noise * rng.normal(size=data.shape), 0)
    return out
