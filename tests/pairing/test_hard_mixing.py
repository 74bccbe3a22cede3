"""MoCHi: the similarities that mixing must give, and what it must never mix."""

import pytest
import torch

from medssl.pairing.hard_mixing import hardest, mixed_negatives, mixed_with_query
from medssl.pairing.relation import same_sample
from tests.pairing.vectors import chance, members, units

N, M = 4, 40
QUERY, MEMORY = units(N, 16), units(M, 16, seed=1)
ROWS, COLUMNS = members([0, 1, 2, -1]), members([n % 8 for n in range(M)])
NEGATIVE = same_sample(ROWS, COLUMNS).negative


def test_the_hardest_are_negatives_sorted_by_cosine():
    found = hardest(QUERY, MEMORY, NEGATIVE, 10)
    cosine = QUERY @ MEMORY.T
    for row in range(3):
        eligible = [n for n in range(M) if NEGATIVE[row, n]]
        assert found.index[row].tolist() == sorted(eligible, key=lambda n: -float(cosine[row, n]))[:10]
    assert found.usable.tolist() == [10, 10, 10, 0]


def test_more_than_there_are_is_all_there_are():
    found = hardest(QUERY, MEMORY, NEGATIVE, 1000)
    assert found.index.shape == (N, M)
    assert found.usable.tolist() == [35, 35, 35, 0]


def test_mixtures_of_negatives_are_the_loop():
    made = mixed_negatives(MEMORY, hardest(QUERY, MEMORY, NEGATIVE, 10), 30, chance())
    for row in range(3):
        for n in range(30):
            i, j = made.sources[row, n].tolist()
            share = made.share[row, n]
            mixed = share * MEMORY[i] + (1 - share) * MEMORY[j]
            torch.testing.assert_close(made.vectors[row, n], mixed / mixed.norm())
            assert i != j
    assert made.weight[:3].all()
    torch.testing.assert_close(made.vectors.norm(dim=-1), torch.ones(N, 30))
    torch.testing.assert_close(made.similarity(QUERY)[1], made.vectors[1] @ QUERY[1])


def test_mixtures_with_the_query_have_the_similarity_of_the_formula():
    made = mixed_with_query(QUERY, MEMORY, hardest(QUERY, MEMORY, NEGATIVE, 10), 50, chance())
    b, s = made.share[:3], (QUERY[:3, None] * MEMORY[made.sources[:3, :, 0]]).sum(-1)
    expected = (b + (1 - b) * s) / (b**2 + (1 - b) ** 2 + 2 * b * (1 - b) * s).sqrt()
    torch.testing.assert_close(made.similarity(QUERY)[:3], expected)
    assert (made.share < 0.5).all()
    assert (made.similarity(QUERY)[:3] > s).all()


def test_at_a_half_the_similarity_is_a_square_root():
    query, memory = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    among = hardest(query, memory, torch.ones(1, 1), 1)
    made = mixed_with_query(query, memory, among, 2000, chance(), most=1.0)
    near = (made.share - 0.5).abs().argmin()
    assert float(made.similarity(query)[0, near]) == pytest.approx(0.8**0.5, abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_of_the_querys_own_patient_is_ever_mixed_in(seed):
    among = hardest(QUERY, MEMORY, NEGATIVE, 1000)
    for made in (
        mixed_negatives(MEMORY, among, 200, chance(seed)),
        mixed_with_query(QUERY, MEMORY, among, 200, chance(seed)),
    ):
        for row in range(3):
            used = made.sources[row][made.sources[row] >= 0]
            assert (COLUMNS.patient[used] != ROWS.patient[row]).all()
        assert not made.weight[3].any()  # of an unknown patient no negative is known
        assert (made.sources[3] == -1).all()
        assert torch.isfinite(made.vectors).all()


def test_what_the_query_may_not_meet_changes_nothing():
    changed = MEMORY.clone()
    changed[COLUMNS.patient == 0] = QUERY[0]  # the nearest of all, of the patient itself
    before, after = (
        mixed_negatives(m, hardest(QUERY, m, NEGATIVE, 6), 9, chance()).vectors[0] for m in (MEMORY, changed)
    )
    assert torch.equal(before, after)


def test_draws_are_even():
    among = hardest(QUERY, MEMORY, NEGATIVE, 4)
    made = mixed_negatives(MEMORY, among, 20_000, chance())
    counts = torch.bincount(made.sources[0].flatten(), minlength=M)[among.index[0]]
    assert (counts / 10_000 - 1).abs().max() < 0.05


def test_one_negative_alone_is_mixed_with_nothing_but_the_query():
    memory, allowed = MEMORY[:2], torch.tensor([[True, False]])
    among = hardest(QUERY[:1], memory, allowed, 5)
    assert not mixed_negatives(memory, among, 3, chance()).weight.any()
    made = mixed_with_query(QUERY[:1], memory, among, 3, chance())
    assert made.weight.all()
    assert made.sources[0].tolist() == [[0, -1]] * 3


def test_the_gradient_is_the_querys_alone():
    query, memory = QUERY.clone().requires_grad_(), MEMORY.clone().requires_grad_()
    made = mixed_with_query(query, memory, hardest(query, memory, NEGATIVE, 5), 3, chance())
    assert not made.vectors.requires_grad
    made.similarity(query).sum().backward()
    assert query.grad is not None
    assert memory.grad is None


def test_a_permuted_memory_and_batch_make_the_same():
    order, turn = torch.randperm(M, generator=chance(3)), torch.tensor([2, 0, 1, 3])
    plain = hardest(QUERY, MEMORY, NEGATIVE, 10)
    other = hardest(QUERY[turn], MEMORY[order], NEGATIVE[turn][:, order], 10)
    assert torch.equal(order[other.index[:3]], plain.index[turn[:3]])


def test_made_up_columns_stand_beside_the_memorys():
    among = hardest(QUERY, MEMORY, NEGATIVE, 5)
    made = mixed_negatives(MEMORY, among, 3, chance()).beside(mixed_with_query(QUERY, MEMORY, among, 2, chance()))
    joined = same_sample(ROWS, COLUMNS).beside(made.relation())
    assert joined.negative.shape == joined.positive.shape == (N, M + 5)
    assert joined.negative[:3, M:].all()
    assert not joined.negative[3, M:].any()
    assert not joined.positive[:, M:].any()
