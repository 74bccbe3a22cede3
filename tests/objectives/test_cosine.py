"""Cosine similarity: its range, precision and gradient."""

import pytest
import torch

from medssl.objectives.cosine import cosine, unit


def test_never_leaves_its_range():
    vectors = torch.randn(64, 2048, generator=torch.Generator().manual_seed(0))
    raw = torch.nn.functional.normalize(vectors) @ torch.nn.functional.normalize(vectors).T
    assert raw.max() > 1  # the reason for the clamp
    assert cosine(vectors, vectors).abs().max() <= 1


def test_gradient_passes_the_clamp():
    vectors = torch.randn(8, 512, generator=torch.Generator().manual_seed(1)).requires_grad_()
    cosine(vectors, torch.randn(3, 512, generator=torch.Generator().manual_seed(2))).sum().backward()
    assert vectors.grad.abs().sum(dim=1).min() > 0


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(kind):
    vectors = torch.randn(6, 32, generator=torch.Generator().manual_seed(3)).to(kind)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = cosine(vectors, vectors)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, cosine(vectors.double(), vectors.double()).float(), atol=1e-6, rtol=0)


def test_zero_rows_stay_zero():
    assert unit(torch.zeros(2, 4)).abs().sum() == 0
