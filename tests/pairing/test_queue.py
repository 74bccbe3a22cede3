"""The queue: first in first out, ids beside vectors, and a state that goes on where it was."""

import io

import pytest
import torch

from medssl.errors import RecipeError, UsageError
from medssl.pairing.queue import Queue
from medssl.pairing.relation import same_sample
from tests.pairing.vectors import members, units


def filled(size, counts, **settings):
    queue = Queue(size, 4, **settings)
    seen, first = [], 0
    for n in counts:
        vectors = units(n, 4, seed=first) * 3
        queue.enqueue(vectors, members(list(range(first, first + n))))
        seen += list(zip(vectors, range(first, first + n), strict=True))
        first += n
    return queue, seen


@pytest.mark.parametrize("counts", [[1], [2, 3], [3, 3, 3], [5], [6, 1], [12], [4] * 5, [1] * 13])
def test_holds_the_last_rows_whatever_the_batches(counts):
    queue, seen = filled(5, counts)
    last = seen[-5:]
    assert len(queue) == len(last)
    assert queue.full == (len(last) == 5)
    kept = dict(zip(queue.members().patient.tolist(), queue.rows(), strict=True))
    assert sorted(kept) == [number for _, number in last]
    for vector, number in last:
        torch.testing.assert_close(kept[number], vector / 3)
    torch.testing.assert_close(queue.rows().norm(dim=1), torch.ones(len(last)))
    newest = torch.stack([vector for vector, _ in last[::-1]]) / 3
    torch.testing.assert_close(queue.recent(9), newest)
    torch.testing.assert_close(queue.recent(2), newest[:2])


def test_is_the_list_that_drops_its_oldest():
    queue, seen = filled(7, [3, 2, 4, 1, 5, 6, 2])
    place = [None] * 7
    for n, (_, number) in enumerate(seen):
        place[n % 7] = number
    assert queue.members().patient.tolist() == place


def test_is_empty_and_not_random_before_the_first_row():
    queue = Queue(4, 4)
    assert len(queue) == 0
    assert queue.rows().shape == (0, 4)
    assert not same_sample(members([1, 2]), queue.members()).negative.any()


def test_ids_travel_and_samples_are_nobodys():
    queue = Queue(4, 4)
    queue.enqueue(units(2, 4), members([5, 6], sample=[0, 1], study=[1, 2], record=[3, 4]))
    who = queue.members()
    assert who.sample.tolist() == [-1, -1]
    assert who.ids("study").tolist() == [1, 2]
    found = same_sample(members([5, 7], sample=[0, 1], record=[3, 9]), who)
    assert not found.positive.any()
    assert found.negative.tolist() == [[False, True], [True, True]]


def test_larger_than_the_data_set_a_row_meets_no_own_patient():
    queue = Queue(100, 4)
    for step in range(40):
        queue.enqueue(units(3, 4, step), members([0, 1, 2], record=[10, 11, 12]))
    assert queue.full
    for asked in (False, True):
        negative = same_sample(members([1], record=[11]), queue.members(), same_patient_negatives=asked).negative
        assert not negative[0, queue.members().patient == 1].any()
        assert negative[0, queue.members().patient != 1].all()


def test_two_gathered_halves_are_one_whole():
    vectors, who = units(6, 4), members([0, 1, 2, 3, 4, 5])
    whole, halves = Queue(8, 4), Queue(8, 4)
    for _ in range(3):
        whole.enqueue(vectors, who)
        halves.enqueue(torch.cat([vectors[:3], vectors[3:]]), members([0, 1, 2, 3, 4, 5]))
    assert all(torch.equal(a, b) for a, b in zip(whole.buffers(), halves.buffers(), strict=True))


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_a_saved_queue_goes_on_bit_for_bit(precision):
    queue, _ = filled(5, [3, 4], precision=precision)
    file = io.BytesIO()
    torch.save(queue.state_dict(), file)
    file.seek(0)
    other, _ = filled(5, [1], precision=precision)
    other.load_state_dict(torch.load(file, weights_only=True))
    for one in (queue, other):
        one.enqueue(units(4, 4, 9), members([20, 21, 22, 23]))
    assert len(other) == len(queue) == 5
    assert torch.equal(other.rows(), queue.rows())
    assert other.rows().dtype == getattr(torch, precision)
    assert torch.equal(other.members().table(), queue.members().table())
    assert torch.equal(other.place, queue.place)


def test_held_keys_enter_when_they_are_pushed_and_once():
    queue = Queue(8, 4)
    vectors = units(2, 4).requires_grad_()
    queue.hold(vectors, members([1, 2]))
    assert len(queue) == 0
    queue.hold(vectors * 1, members([3, 4]))  # a step that was left out leaves nothing
    queue.push()
    queue.push()
    assert queue.members().patient.tolist() == [3, 4]
    assert not queue.rows().requires_grad


def test_what_was_not_gathered_is_refused():
    queue = Queue(8, 4)
    with pytest.raises(UsageError, match=r"expected 4 vectors of length 4, got \(2, 4\)"):
        queue.enqueue(units(2, 4), members([1, 2, 3, 4]))
    with pytest.raises(RecipeError, match="size must be above 0"):
        Queue(0, 4)
    with pytest.raises(RecipeError, match="precision must be one of"):
        Queue(1, 4, precision="int8")  # type: ignore[arg-type]
