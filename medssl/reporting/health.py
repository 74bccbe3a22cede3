"""How the vectors of a run were doing: curves over its steps, and who resembled whom at its beginning and its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.reporting.curves import Series, curves, plot, series_of
from medssl.reporting.page import Figure, Key, Notice, Page, Picture, Table
from medssl.reporting.palette import LINES
from medssl.reporting.run_folder import Row, RunFolder

PREFIX = "health_"

PANELS: dict[str, dict[str, str]] = {
    "effective rank of the encoder": {"rank": "encoder", "rank_centred": "encoder, mean taken off"},
    "effective rank of the embeddings": {"embedding_rank": "embeddings"},
    "spread": {"spread": "encoder", "embedding_spread": "embeddings"},
    "alignment": {"alignment": "embeddings"},
    "uniformity": {"uniformity": "embeddings"},
    "similarity": {"positive": "views of one scan", "same_patient": "same patient", "other_patient": "other patients"},
    "variance of similarity": {
        "positive_variance": "views of one scan",
        "same_patient_variance": "same patient",
        "other_patient_variance": "other patients",
    },
    "log of the mean e^(s/τ)": {
        "log_mean_exp_positive": "views of one scan",
        "log_mean_exp_other_patient": "other patients",
    },
}
"""What is drawn together: title, then numbers and their names."""

COLOURS = {
    "encoder": 0,
    "encoder, mean taken off": 5,
    "embeddings": 1,
    "views of one scan": 2,
    "same patient": 4,
    "other patients": 3,
}

KINDS = {"positive": "views of one scan", "same_patient": "same patient", "other_patient": "other patients"}

MEANING = {
    "rank": "the more the better, at most 256 or the encoder's width",
    "rank_centred": "the same with the mean taken off; below 2 is a collapse",
    "spread": "the more the better; small beside a large common part",
    "embedding_rank": "the more the better, at most the views of a step",
    "embedding_spread": "near 1; below 0.1 is a collapse",
    "alignment": "0 where views of a scan agree",
    "uniformity": "about −4 where even, 0 where collapsed",
    "positive": "above that of other patients",
    "same_patient": "between the two around it",
    "other_patient": "near 0 where patients repel each other",
}
"""The numbers of the table, and what is healthy."""

NAMES = {
    "rank": "effective rank, encoder",
    "rank_centred": "effective rank, encoder, mean taken off",
    "spread": "spread, encoder",
    "embedding_rank": "effective rank, embeddings",
    "embedding_spread": "spread, embeddings",
    "positive": "similarity, views of one scan",
    "same_patient": "similarity, same patient",
    "other_patient": "similarity, other patients",
}
"""How the table calls them."""

TEXT = (
    "Numbers of the encoder are of its pooled outputs for the last 256 views; numbers of embeddings are of the vectors "
    "that the method compares, those of one step on all processes. The effective rank (RankMe) says how many "
    "directions vectors fill, the spread how far unit vectors lie apart, alignment how far two views of a scan do, and "
    "uniformity how evenly all of them are laid out."
)


def health_section(page: Page, run: RunFolder) -> None:
    """Add the section, with warnings in words on top; nothing for a run that was not looked at."""
    numbers = [row for row in run.rows if row["name"].startswith(PREFIX)]
    warned = [Notice(_sentence(str(text))) for text in run.health.get("warnings", ())]
    if not numbers and not warned:
        return
    caption = "Health over the steps of the run, at every look."
    figures = [curves(_panels(numbers), caption, unit="value"), similarities(run.health)]
    page.section("Health of the vectors", TEXT, figures, [_table(numbers)], note=warned)


def similarities(arrays: Mapping[str, NDArray[Any]]) -> Figure | None:
    """Histograms of similarity by kind of pair, of the first and the last third of the looks.

    Args:
        arrays: of ``health.npz``: ``step (looks,)``, and for each kind counts ``(looks, bins)`` over [−1, 1].
    """
    kinds = [kind for kind in KINDS if kind in arrays]
    if not kinds or "step" not in arrays:
        return None
    steps = arrays["step"]
    third = max(1, len(steps) // 3)
    parts = {"early": slice(0, third), "late": slice(len(steps) - third, None)} if len(steps) > 1 else {"": slice(None)}
    shares = {name: _shares(arrays, kinds, part) for name, part in parts.items()}
    top = 1.05 * max((float(share.max()) for found in shares.values() for share in found.values()), default=1.0)
    pictures = []
    for name, part in parts.items():
        first, last = int(steps[part][0]), int(steps[part][-1])
        span = f"step {first}" if first == last else f"steps {first} to {last}"
        title = f"{name}, {span}" if name else span
        svg = plot(lambda axes, found=shares[name]: _outlines(axes, found, top), (3.6, 2.6))  # type: ignore[misc]
        pictures.append(Picture(svg, f"{title}: {_means(shares[name])}", title))
    caption = (
        "Cosine similarity of embeddings by kind of pair, as shares of all pairs of that kind. In a healthy run views "
        "of one scan move to the right and other patients stay behind; other patients far on the right are false "
        "negatives, views of one scan far on the left hard positives."
    )
    keys = tuple(Key(KINDS[kind], f"var(--line-{COLOURS[KINDS[kind]]})", on_scan=False) for kind in kinds)
    return Figure(tuple(pictures), caption, "Histograms of similarity, early and late", keys, layout="plots")


def _panels(rows: Sequence[Row]) -> dict[str, list[Series]]:
    return {
        title: [series_of(rows, PREFIX + number, name, COLOURS[name]) for number, name in members.items()]
        for title, members in PANELS.items()
    }


def _table(rows: Sequence[Row]) -> Table | None:
    found = {}
    for name in MEANING:
        values = [float(row["value"]) for row in rows if row["name"] == PREFIX + name]
        if values:
            found[name] = (values[0], values[-1])
    lines = [
        (NAMES.get(name, name.replace("_", " ")), f"{first:.3g}", f"{last:.3g}", MEANING[name])
        for name, (first, last) in found.items()
    ]
    columns = ("number", "first look", "last look", "what is healthy")
    return Table(columns, lines, "The same in numbers.") if lines else None


def _shares(arrays: Mapping[str, NDArray[Any]], kinds: Sequence[str], looks: slice) -> dict[str, NDArray[np.float64]]:
    """For every kind of pair that there is, the share of its pairs in each bin."""
    found = {}
    for kind in kinds:
        counts = np.asarray(arrays[kind][looks], dtype=np.float64).sum(axis=0)
        # two bins in one, where there are as many: batches of volumes have few pairs
        counts = counts.reshape(-1, 2).sum(axis=1) if len(counts) % 2 == 0 else counts
        if counts.sum() > 0:
            found[KINDS[kind]] = counts / counts.sum()
    return found


def _outlines(axes: Any, shares: Mapping[str, NDArray[np.float64]], top: float) -> None:
    for name, share in shares.items():
        edges = np.linspace(-1, 1, len(share) + 1)
        colour = LINES[COLOURS[name]]
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.16)
        axes.stairs(share, edges, color=colour, linewidth=1.8)
    axes.set_xlim(-1, 1)
    axes.set_ylim(0, top)
    axes.set_xlabel("cosine similarity")
    axes.set_ylabel("share of pairs")


def _means(shares: Mapping[str, NDArray[np.float64]]) -> str:
    """The mean similarity of each kind in words, from the middles of the bins."""
    words = []
    for name, share in shares.items():
        middles = (np.arange(len(share)) + 0.5) * 2 / len(share) - 1
        words.append(f"{name} {float((share * middles).sum()):.2f} on average")
    return ", ".join(words) or "no pairs"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
