"""Bias field correction."""

import numpy as np
import pytest

from medssl.errors import RecipeError
from medssl.store.n4 import corrected
from medssl.store.process import process
from medssl.store.settings import StoreSettings
from medssl.volume import Volume


def _head(shape=(40, 40, 32)):
    """Two tissues in a ball, and a gain that runs from 0.6 to 1.4 along i."""
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    ball = (at**2).sum(0) < 0.8
    tissue = np.where(((at * 3) % 2 < 1).sum(0) % 2 == 0, 600.0, 900.0)
    gain = 1 + 0.4 * at[0]
    noise = np.random.default_rng(0).normal(0, 8, shape)
    return (ball * (tissue * gain + noise)).astype(np.float32), ball, tissue, gain


def test_the_field_goes_and_the_mean_stays():
    data, ball, tissue, _ = _head()
    out = corrected(Volume(data[None], np.eye(4)))
    assert out.flags == ("n4",)
    inside = out.data[0][ball]

    def uneven(values):
        ratio = values / tissue[ball]
        return float(ratio.std() / ratio.mean())

    assert uneven(inside) < 0.5 * uneven(data[ball])
    assert inside.mean() == pytest.approx(data[ball].mean(), rel=0.03)
    again = corrected(Volume(data[None], np.eye(4)))
    np.testing.assert_array_equal(out.data, again.data)


@pytest.mark.parametrize(
    ("modality", "changes"), [("T1", True), ("MR", True), ("CT", False), ("", False), ("PT", False)]
)
def test_only_mr_is_corrected(modality, changes):
    data, *_ = _head((16, 16, 12))
    volume = Volume(data[None], np.diag([-1.0, -1.0, 1.0, 1.0]))
    plain = process(volume, StoreSettings(), modality=modality)
    done = process(volume, StoreSettings(n4=True), modality=modality)
    assert ("n4" in done.image.flags) == changes
    assert np.array_equal(plain.image.data, done.image.data) != changes


def test_zscore_is_kept_as_two_numbers():
    rng = np.random.default_rng(0)
    data = np.zeros((1, 20, 20, 20), np.float32)
    data[0, 4:16, 4:16, 4:16] = rng.normal(300, 50, (12, 12, 12))
    done = process(Volume(data, np.diag([-1.0, -1.0, 1.0, 1.0])), StoreSettings(zscore=3.0), modality="MR")
    inside = data[0, 4:16, 4:16, 4:16].astype(np.float64)
    assert (done.low, done.high) == pytest.approx((inside.mean() - 3 * inside.std(), inside.mean() + 3 * inside.std()))
    with pytest.raises(RecipeError, match="zscore"):
        StoreSettings(zscore=0.0)


def test_the_contract_carries_both():
    settings = StoreSettings(zscore=4.0, n4=True)
    assert StoreSettings.from_contract(settings.contract()) == settings
    assert StoreSettings.from_contract({"orientation": "RAS"}) == StoreSettings()
