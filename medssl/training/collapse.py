"""When a run has collapsed, in words: rules over the last looks at its health, each with its threshold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Numbers = Mapping[str, float]

SPREAD = 0.1
"""Embeddings whose spread (1 where even) is less are nearly one vector: a mean cosine above 0.99."""

LEAST_RANK, RANK_SHARE = 2.0, 0.03
"""An effective rank below the first, or below this share of what is possible, is a collapse of dimensions."""

APART = 0.1
"""Positives that lie less than this many standard deviations above pairs of other patients are not told apart."""

IN_A_ROW, TOGETHER = 3, 8
"""Looks that must agree, and looks whose pairs are counted together."""

BEGUN = 0.2
"""Share of the steps after which a run that never was better is judged, too."""

GROWING = 1.25
"""A number that has grown this much over the looks in question is on its way."""

SAMPLES, ROWS, PAIRS = 6, 32, 32
"""What a rank of embeddings, a rank of the encoder's outputs and a distance of kinds need to say anything."""


@dataclass(frozen=True)
class Story:
    """What the rules know of a run.

    Args:
        looks: the last ones, oldest first: the numbers of a look, and ``step``, ``samples``, ``rows`` and ``room`` (the
            highest rank that its embeddings could have).
        best: the highest value that each number has had.
        done: share of the run's steps that are done.
        agree: whether views of one sample are meant to be alike.
    """

    looks: Sequence[Numbers]
    best: Numbers
    done: float
    agree: bool = True


def warnings_of(story: Story) -> dict[str, str]:
    """What is wrong, a sentence for each rule that holds; nothing where no embeddings are compared.

    Example:
        >>> looks = [{"step": float(n), "embedding_spread": 0.01} for n in range(3)]
        >>> list(warnings_of(Story(looks, {"embedding_spread": 0.9}, 0.1)))
        ['spread']
    """
    if not story.looks or "embedding_spread" not in story.looks[-1]:
        return {}
    found = {name: rule(story) for name, rule in RULES.items()}
    said = {name: f"at step {story.looks[-1]['step']:.0f} {text}" for name, text in found.items() if text}
    # of one vector everything else follows
    return {"spread": said["spread"]} if "spread" in said else said


def apart(looks: Sequence[Numbers]) -> tuple[float, float, float]:
    """By how many standard deviations positives are more similar than pairs of other patients, over several looks.

    Both are compared within each look, since similarities move as a run goes on.

    Returns:
        The distance, and how many positives and how many pairs of other patients it rests on.

    Example:
        >>> look = {"positive": 0.5, "other_patient": 0.25, "positive_variance": 0.25, "other_patient_variance": 0.25}
        >>> apart([{**look, "positive_pairs": 4.0, "other_patient_pairs": 8.0}] * 2)
        (0.5, 8.0, 16.0)
    """
    both = [look for look in looks if "positive" in look and "other_patient" in look]
    positives, others = (sum(look[f"{kind}_pairs"] for look in both) for kind in ("positive", "other_patient"))
    if not both:
        return math.nan, 0.0, 0.0
    gap = sum(look["positive_pairs"] * (look["positive"] - look["other_patient"]) for look in both) / positives
    variances = (_mean(both, kind, "_variance") for kind in ("positive", "other_patient"))
    # similarities that differ by no more than rounding are equal
    return gap / math.sqrt(max(sum(variances) / 2, 1e-10)), positives, others


def _mean(looks: Sequence[Numbers], kind: str, what: str = "") -> float:
    """The mean of a number of a kind of pair, over the pairs of several looks."""
    kept = [(look[f"{kind}_pairs"], look[kind + what]) for look in looks if kind in look]
    return sum(n * value for n, value in kept) / sum(n for n, _ in kept)


def _low(story: Story, name: str, limit: float) -> bool:
    """Whether a number is low in the last looks, does not grow, and has been better or had the time to be."""
    last = [look.get(name, math.nan) for look in story.looks[-IN_A_ROW:]]
    if len(last) < IN_A_ROW or not all(value < limit for value in last):
        return False
    growing = last[-1] > GROWING * max(last[0], 1e-6)
    fell = story.best.get(name, 0.0) > 2 * limit
    return not growing and (fell or story.done >= BEGUN)


def _spread(story: Story) -> str | None:
    if not _low(story, "embedding_spread", SPREAD):
        return None
    now = story.looks[-1]["embedding_spread"]
    return (
        f"the run has collapsed: the embeddings of all views are nearly one vector (spread {now:.2g}, where 1 is even "
        f"and less than {SPREAD} is a collapse). Try a lower optim.lr or optim.weight_decay, a longer warm-up, a "
        "larger batch, or a batch norm in the projector"
    )


def _embedding_rank(story: Story) -> str | None:
    now = story.looks[-1]
    room = now.get("room", 0.0)
    limit = max(LEAST_RANK, RANK_SHARE * room)
    if now.get("samples", 0) < SAMPLES or not _low(story, "embedding_rank", limit):
        return None
    return (
        f"the embeddings have collapsed to a few dimensions (effective rank {now['embedding_rank']:.3g} of at most "
        f"{room:.0f}, less than {limit:.3g} is a collapse). Try a larger batch, stronger augmentation, a lower "
        "optim.lr, or fewer outputs of the projector"
    )


def _rank(story: Story) -> str | None:
    now = story.looks[-1]
    if now.get("rows", 0) < ROWS or not _low(story, "rank_centred", LEAST_RANK):
        return None
    return (
        f"the encoder's outputs have collapsed to one dimension beside their mean (effective rank "
        f"{now['rank_centred']:.3g} of {now['rows']:.0f} views, less than {LEAST_RANK:.3g} is a collapse). Try "
        "stronger augmentation of brightness and contrast, a lower optim.lr, or less weight decay"
    )


def _pairs(story: Story) -> str | None:
    looks = story.looks[-TOGETHER:]
    distance, positives, others = apart(looks)
    enough = len(looks) == TOGETHER and min(positives, others) >= PAIRS
    if not story.agree or not enough or story.done < BEGUN or not distance < APART:
        return None
    return (
        "the views of one scan are no more similar than scans of different patients "
        f"({_mean(looks, 'positive'):.3g} against {_mean(looks, 'other_patient'):.3g}, {distance:.2g} standard "
        f"deviations apart, less than {APART} is no difference). Try more overlap of the views, weaker augmentation, "
        "another optim.lr, or more steps"
    )


RULES: dict[str, Callable[[Story], str | None]] = {
    "spread": _spread,
    "embedding_rank": _embedding_rank,
    "rank": _rank,
    "pairs": _pairs,
}
