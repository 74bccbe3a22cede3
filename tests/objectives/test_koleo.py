"""KoLeo: constants, the definition as a loop, antipodes, groups."""

import math

import pytest
import torch

from medssl.objectives.koleo import koleo


def draw(*shape, seed=0, kind=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=kind)


def loop(vectors):
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    total = 0.0
    for i in range(len(unit)):
        nearest = min(float((unit[i] - unit[j]).norm()) for j in range(len(unit)) if j != i)
        total -= math.log(nearest + 1e-8)
    return total / len(unit)


def test_orthonormal_vectors():
    assert float(koleo(torch.eye(6)).loss) == pytest.approx(-0.5 * math.log(2), abs=1e-6)
    assert float(koleo(torch.eye(6)).distance) == pytest.approx(math.sqrt(2))


def test_duplicates_are_dear_and_finite():
    z = torch.ones(4, 16).requires_grad_()
    loss = koleo(z).loss
    loss.backward()
    assert float(loss.detach()) == pytest.approx(16.8, abs=0.02)
    assert z.grad.isfinite().all()


def test_antipodes_find_each_other():
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert float(koleo(z).loss) == pytest.approx(-math.log(2), abs=1e-6)


def test_equals_the_papers_loop_whatever_the_order_and_length():
    z = draw(7, 5)
    wanted = loop(z)
    assert float(koleo(z).loss) == pytest.approx(wanted, rel=1e-6)
    scaled = z[torch.tensor([3, 1, 6, 0, 4, 2, 5])] * torch.arange(1, 8)[:, None]
    assert float(koleo(scaled).loss) == pytest.approx(wanted, rel=1e-6)


def test_groups_do_not_see_each_other_and_a_row_alone_is_dropped():
    z, group = draw(6, 5), torch.tensor([4, 9, 4, 7, 9, 4])
    found = koleo(z, group)
    parts = [loop(z[group == g]) * int((group == g).sum()) for g in (4, 9)]
    assert float(found.loss) == pytest.approx(sum(parts) / 5, rel=1e-6)
    assert int(found.alone) == 1
    z.requires_grad_()
    koleo(z, group).loss.backward()
    assert z.grad[3].abs().sum() == 0


def test_groups_of_a_stated_size_make_the_number_of_processes_indifferent():
    z, group = draw(8, 5), torch.arange(8) // 4
    halves = (koleo(z[:4]).loss + koleo(z[4:]).loss) / 2
    torch.testing.assert_close(koleo(z, group).loss, halves)


@pytest.mark.parametrize("count", [0, 1])
def test_nobody_to_keep_away_from(count):
    z = draw(count, 3).requires_grad_()
    found = koleo(z)
    found.loss.backward()
    assert float(found.loss.detach()) == 0
    assert int(found.alone) == count
    assert z.grad.abs().sum() == 0


def test_finite_differences():
    assert torch.autograd.gradcheck(lambda z: koleo(z).loss, draw(5, 3).requires_grad_())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_lifted_also_under_autocast(kind):
    z = draw(8, 16, kind=torch.float32).to(kind)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = koleo(z).loss
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(loop(z.double()), rel=1e-5)


def test_rows_of_one_known_patient_are_no_neighbours():
    z = draw(6, 4, kind=torch.float64)
    z[1] = z[0]
    patient = torch.tensor([5, 5, 6, 7, -1, -1])
    apart = koleo(z, patient=patient).loss
    rows = torch.nn.functional.normalize(z, dim=1)
    far = torch.cdist(rows, rows).fill_diagonal_(torch.inf)
    far[0, 1] = far[1, 0] = torch.inf
    assert float(apart) == pytest.approx(float(-far.min(dim=1).values.log().mean()), rel=1e-6)
    assert float(koleo(z).loss) > float(apart) + 3
    assert int(koleo(z[:2], patient=patient[:2]).alone) == 2
    unknown = koleo(z[4:], patient=patient[4:])
    assert int(unknown.alone) == 0


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"vectors must be \(n, d\) and group \(n,\), got"):
        koleo(torch.zeros(2, 3), torch.zeros(3))
