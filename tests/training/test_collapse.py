"""The rules that say in words when a run has collapsed."""

from __future__ import annotations

import math
import re

import pytest

from medssl.training.collapse import TOGETHER, Story, warnings_of

WELL = {
    "samples": 8.0,
    "rows": 256.0,
    "room": 16.0,
    "rank_centred": 30.0,
    "embedding_rank": 9.0,
    "embedding_spread": 0.8,
    "positive": 0.7,
    "positive_variance": 0.01,
    "positive_pairs": 8.0,
    "other_patient": 0.1,
    "other_patient_variance": 0.02,
    "other_patient_pairs": 112.0,
}
"""A look at a healthy run."""


def _story(*changes: dict[str, float], done: float = 0.5, agree: bool = True, looks: int = TOGETHER) -> Story:
    """A healthy run whose last looks are changed."""
    plain = [WELL] * (looks - len(changes))
    found = [{**WELL, **change} for change in changes]
    return Story([{**look, "step": 10.0 * n} for n, look in enumerate([*plain, *found])], WELL, done, agree)


def test_a_healthy_run_is_not_warned_of() -> None:
    assert warnings_of(_story()) == {}
    assert warnings_of(Story([], {}, 0.0)) == {}


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        (
            {"embedding_spread": 0.02},
            "spread",
            r"at step 70 the run has collapsed: .*spread 0\.02, .* Try a lower optim",
        ),
        (
            {"embedding_rank": 1.5},
            "embedding_rank",
            r"effective rank 1\.5 of at most 16, less than 2 .* Try a larger batch",
        ),
        ({"rank_centred": 1.2}, "rank", r"effective rank 1\.2 of 256 views, less than 2 .* Try stronger augmentation"),
    ],
)
def test_a_number_that_stays_low_is_a_collapse(change: dict[str, float], rule: str, words: str) -> None:
    found = warnings_of(_story(change, change, change))
    assert list(found) == [rule]
    assert re.search(words, found[rule])
    assert warnings_of(_story(change, change)) == {}, "two looks are not enough"
    assert warnings_of(_story(change, change, {})) == {}, "it has recovered"


def test_of_one_vector_only_the_spread_is_told() -> None:
    change = {
        "embedding_spread": 1e-4,
        "embedding_rank": 1.0,
        "rank_centred": 1.0,
        "positive": 0.999,
        "other_patient": 1.0,
    }
    assert list(warnings_of(_story(*[change] * TOGETHER))) == ["spread"]


def test_a_run_that_is_on_its_way_or_has_just_begun_is_not_judged() -> None:
    grows = [{"embedding_spread": spread} for spread in (0.04, 0.06, 0.09)]
    assert warnings_of(_story(*grows)) == {}
    low = {**WELL, "embedding_spread": 0.04, "step": 1.0}
    assert warnings_of(Story([low] * 3, low, 0.1)) == {}
    assert list(warnings_of(Story([low] * 3, low, 0.2))) == ["spread"]


def test_what_a_small_batch_cannot_say_is_not_said() -> None:
    two = {"samples": 2.0, "embedding_rank": 1.0, "rank_centred": 1.0, "rows": 16.0, "room": 4.0}
    assert warnings_of(_story(two, two, two)) == {}


def test_the_limit_of_a_rank_grows_with_what_is_possible() -> None:
    many = {"embedding_rank": 5.0, "room": 200.0, "samples": 100.0}
    assert list(warnings_of(_story(many, many, many))) == ["embedding_rank"]
    some = {**many, "room": 100.0}
    assert warnings_of(_story(some, some, some)) == {}


def test_positives_like_everybody_are_told_after_enough_pairs() -> None:
    change = {"positive": 0.105, "other_patient": 0.1}
    whole = [change] * TOGETHER
    (text,) = warnings_of(_story(*whole)).values()
    assert "(0.105 against 0.1, 0.041 standard deviations apart, less than 0.1 is no difference)" in text
    assert warnings_of(_story(*whole[1:], looks=TOGETHER - 1)) == {}
    assert warnings_of(_story(*whole, done=0.1)) == {}
    assert warnings_of(_story(*whole, agree=False)) == {}
    assert warnings_of(_story(*[{**change, "positive_pairs": 3.0}] * TOGETHER)) == {}


def test_nothing_is_said_without_embeddings() -> None:
    looks = [{"step": float(n), "rank_centred": 1.0, "rows": 256.0, "rank": 1.0, "spread": 0.0} for n in range(9)]
    assert warnings_of(Story(looks, {}, 1.0)) == {}


def test_a_number_that_cannot_be_told_is_no_collapse() -> None:
    assert warnings_of(_story(*[{"embedding_rank": math.nan}] * 3)) == {}
