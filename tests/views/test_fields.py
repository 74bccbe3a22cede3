"""Random fields from a counter, and smoothing: the same numbers compiled and by torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medssl.views.augment.fields import random_field
from medssl.views.augment.gamma import powered
from medssl.views.augment.smoothing import smoothed


@pytest.mark.parametrize("kind", ["normal", "uniform"])
@pytest.mark.parametrize("shape", [(1, 13, 7, 5), (2, 8, 8, 8), (1, 1, 1, 1), (3, 1, 1, 2)])
@pytest.mark.parametrize("seed", [0, 7, 2**62 - 1, 2**64 - 1])
def test_compiled_and_torch_give_the_same_bits(
    kind: str, shape: tuple[int, ...], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = random_field(shape, seed, kind)  # type: ignore[arg-type]
    monkeypatch.setenv("MEDSSL_COMPILED", "0")
    assert torch.equal(compiled, random_field(shape, seed, kind))  # type: ignore[arg-type]


def test_the_normal_field_is_normal_and_independent() -> None:
    field = random_field((64, 64, 64), 5).double()
    assert abs(float(field.mean())) < 0.006
    assert float(field.var()) == pytest.approx(1.0, abs=0.01)
    assert abs(float((field**3).mean())) < 0.02
    assert float((field**4).mean()) == pytest.approx(3.0, abs=0.06)
    flat = field.flatten()
    quarter = len(flat) // 4
    for apart in (1, 64, 4096, quarter, 2 * quarter):
        assert abs(float((flat[apart:] * flat[:-apart]).mean())) < 0.01
    other = random_field((64, 64, 64), 6).double().flatten()
    assert abs(float((flat * other).mean())) < 0.01


def test_the_uniform_field_fills_its_range_evenly() -> None:
    field = random_field((64, 64, 64), 5, "uniform")
    counts = torch.histc(field, 16, 0, 1) / field.numel()
    assert float((counts - 1 / 16).abs().max()) < 0.002
    assert float(field.min()) > 0
    assert float(field.max()) < 1


@pytest.mark.parametrize("sigma", [(1.0, 1.0, 1.0), (0.3, 0.0, 2.0), (0.0, 0.7, 0.04), (4.0, 1.0, 0.5)])
@pytest.mark.parametrize("shape", [(1, 12, 10, 8), (2, 3, 9, 1), (1, 1, 1, 5)])
def test_smoothing_is_the_same_compiled_and_by_torch(
    sigma: tuple[float, ...], shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = torch.from_numpy(np.random.default_rng(0).random(shape).astype(np.float32))
    compiled = smoothed(image, sigma)
    monkeypatch.setenv("MEDSSL_COMPILED", "0")
    torch.testing.assert_close(compiled, smoothed(image, sigma), atol=2e-6, rtol=0)


def test_smoothing_is_the_convolution_with_repeated_edges() -> None:
    from scipy.ndimage import correlate1d

    image = np.random.default_rng(0).random((1, 9, 11, 13)).astype(np.float32)
    steps = np.arange(-4, 5)
    weights = np.exp(-0.5 * (steps / 1.2) ** 2)
    expected = image[0].astype(np.float64)
    for axis in range(3):
        expected = correlate1d(expected, weights / weights.sum(), axis=axis, mode="nearest")
    np.testing.assert_allclose(smoothed(torch.from_numpy(image), (1.2, 1.2, 1.2))[0], expected, atol=1e-6)


@pytest.mark.parametrize("power", [0.3, 0.67, 1.0, 1.49, 2.0, 3.5])
def test_powers_are_those_of_double_precision(power: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([[0.0, 1.0, 1e-38, 1e-30, 1e-7, 0.5], rng.random(5000), 10.0 ** rng.uniform(-30, 0, 500)])
    values = values.astype(np.float32)
    expected = values.astype(np.float64) ** np.float32(power)
    found = powered(torch.from_numpy(values.copy()), power)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert float(found[0]) == 0.0
    assert float(found[1]) == pytest.approx(1.0, abs=2e-7)
    monkeypatch.setenv("MEDSSL_COMPILED", "0")
    np.testing.assert_allclose(found, powered(torch.from_numpy(values.copy()), power), atol=1e-6)
