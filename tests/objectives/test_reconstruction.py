"""Masked squared error: normalized targets, what counts, and what must not."""

import pytest
import torch

from medssl.objectives.reconstruction import cell_statistics, masked_error, normalized_target, to_voxels

CELLS = (2, 2, 2)


def scan(seed=0, channels=1, side=8):
    return torch.randn(2, channels, side, side, side, generator=torch.Generator().manual_seed(seed))


def cells(seed=0):
    hidden = torch.zeros(2, 8, dtype=torch.bool)
    generator = torch.Generator().manual_seed(seed)
    for row in hidden:
        row[torch.randperm(8, generator=generator)[:5]] = True
    return hidden.reshape(2, *CELLS)


@pytest.mark.parametrize("channels", [1, 3])
def test_zero_prediction_of_a_normalized_target(channels):
    image = 100 * scan(channels=channels)
    n = channels * 4**3
    error = masked_error(torch.zeros_like(image), normalized_target(image, CELLS), cells())
    assert float(error.mean) == pytest.approx((n - 1) / n, abs=1e-5)


def test_normalized_cells_equal_a_loop():
    image = scan(channels=2)
    found = normalized_target(image, CELLS)
    for n in range(2):
        for i in range(2):
            for j in range(2):
                for k in range(2):
                    at = (n, slice(None), *(slice(4 * x, 4 * x + 4) for x in (i, j, k)))
                    cell = image[at]
                    expected = (cell - cell.mean()) / (cell.var(unbiased=True) + 1e-6).sqrt()
                    torch.testing.assert_close(found[at], expected)


def test_a_constant_cell_has_target_zero():
    assert normalized_target(torch.full((1, 1, 8, 8, 8), 7.5), CELLS).abs().max() == 0


def test_statistics_leave_padding_out():
    image = scan()
    valid = torch.ones(2, 1, 8, 8, 8, dtype=torch.bool)
    valid[:, :, 6:] = False
    spoilt = torch.where(valid, image, torch.nan)
    mean, spread = cell_statistics(spoilt, CELLS, valid)
    inside = image[0, 0, 4:6, :4, :4]
    torch.testing.assert_close(mean[0, 0, 4, 0, 0], inside.mean())
    torch.testing.assert_close(spread[0, 0, 4, 0, 0], (inside.var(unbiased=True) + 1e-6).sqrt())


def test_a_cell_of_padding_only_has_finite_statistics():
    mean, spread = cell_statistics(scan(), CELLS, torch.zeros(2, 1, 8, 8, 8, dtype=torch.bool))
    assert mean.abs().max() == 0
    assert spread.isfinite().all()


def test_visible_voxels_and_padding_change_neither_value_nor_gradient():
    rebuilt, target, hidden = scan(1), scan(2), cells()
    valid = torch.ones(2, 1, 8, 8, 8, dtype=torch.bool)
    valid[:, :, :, :, 5:] = False
    counted = (to_voxels(hidden, (8, 8, 8)) & valid).expand_as(target)
    results = []
    for rubbish in (0.0, torch.inf, torch.nan):
        guess = torch.where(counted, rebuilt, rubbish).requires_grad_()
        error = masked_error(guess, torch.where(counted, target, rubbish), hidden, valid)
        error.mean.backward()
        results.append((error.mean.detach(), guess.grad))
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(results[0], results[2])
    direct = (rebuilt - target)[counted].square().mean()
    torch.testing.assert_close(results[0][0], direct)
    assert results[0][1][~counted].abs().sum() == 0


def test_nothing_hidden_is_zero_with_zero_gradient():
    rebuilt = scan().requires_grad_()
    error = masked_error(rebuilt, scan(1), torch.zeros(2, *CELLS, dtype=torch.bool))
    error.mean.backward()
    assert float(error.mean.detach()) == 0
    assert int(error.count) == 0
    assert rebuilt.grad.abs().sum() == 0


def test_half_precision_is_lifted():
    rebuilt = 300 * torch.ones(1, 1, 8, 8, 8, dtype=torch.float16)  # its square overflows half precision
    error = masked_error(rebuilt, torch.zeros_like(rebuilt), torch.ones(1, *CELLS, dtype=torch.bool))
    assert float(error.mean) == 90000


def test_cells_must_divide_the_voxels():
    with pytest.raises(ValueError, match="2 cells do not divide 7 voxels along axis 1"):
        to_voxels(torch.ones(1, 2, 2, 2, dtype=torch.bool), (8, 7, 8))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="rebuilt and target must have one shape"):
        masked_error(scan(), scan(side=4), cells())
