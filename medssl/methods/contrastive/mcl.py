"""MCL: once the easy features are learned, only scans that they cannot tell apart repel each other.

Zhang et al., *Learning the Unlearned*, ECCV 2024, arXiv 2402.11816. After each stage all scans are clustered; the next
stage takes each batch from within one cluster of all the stages before, so that what told the clusters apart is of no
more use. The stages' features together are the representation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.errors import RecipeError
from medssl.heads.projector import Projector
from medssl.loading.cluster_sampler import ClusterRestrictedSampler
from medssl.loading.plan import MakeSampler, ScanIds, Survey
from medssl.methods.contract import Context, Facts, Method, Stage, Vectors, ViewSettings
from medssl.methods.contrastive.by_ids import contrast_by_ids
from medssl.methods.contrastive.looks import LOOK, look_views, looked, scan_features, scan_ids
from medssl.methods.passes import pooled, through
from medssl.methods.roles import PAIR, two_views
from medssl.objectives.cosine import unit
from medssl.pairing.k_means import k_means
from medssl.pairing.small_clusters import settled
from medssl.views.view import Batch, Role

COUNTS: tuple[str, ...] = ("groups", "clusters_merged", "scans_left_out")
"""What a survey tells of its clusters, and a step logs."""


class MCL(Method):
    """NT-Xent, or DCL, in stages; from the second on within clusters.

    Args:
        encoder: goes on from stage to stage; as each stage leaves it, a copy is kept.
        stages: how many, each with the same share of the steps.
        clusters: of the survey after each stage.
        temperature: what similarities are divided by.
        coupled: whether the positive stands in the denominator too (False: DCL).
        hidden: width between the two layers of each stage's projector.
        outputs: length of the vectors that are compared.
        norm: the projectors' norm: ``batch``, ``layer`` or ``none``.
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        stages: Annotated[int, Field(ge=2, le=9)] = 3,
        clusters: Annotated[int, Field(ge=2)] = 10,
        temperature: Annotated[float, Field(gt=0)] = 0.1,
        coupled: bool = True,
        hidden: Annotated[int, Field(ge=1)] = 2048,
        outputs: Annotated[int, Field(ge=1)] = 128,
        norm: Literal["batch", "layer", "none"] = "batch",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projectors = nn.ModuleList(Projector(encoder.width, hidden, outputs, norm=norm) for _ in range(stages))
        self.earlier = nn.ModuleList(deepcopy(encoder).requires_grad_(False) for _ in range(stages - 1))
        self.clusters = clusters
        self.temperature, self.coupled = temperature, coupled

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """A crop of each scan, and a second one around it that overlaps it by half along each axis."""
        return two_views(settings, 0.5)

    def stages(self, steps: int, settings: ViewSettings) -> Sequence[Stage]:
        """As many as were asked for, with a survey before each but the first."""
        count = len(self.projectors)
        ends = [-(-steps * number // count) for number in range(count + 1)]
        return [
            Stage(
                _name(number),
                ends[number + 1] - ends[number],
                self.views(settings),
                trains=("encoder.", f"projectors.{number}."),
                sampler=_within(number) if number else None,
                survey=number > 0,
                survey_views=look_views(settings),
            )
            for number in range(count)
        ]

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``view`` and ``partner`` through the stage's projector; in the survey pooled features."""
        if LOOK in batch:
            return looked(self.encoder, batch)
        return through(self.projectors[_number(ctx.stage)], pooled(self.encoder, batch, PAIR))

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The contrast over the rows of all processes, and what became of the clusters.

        Raises:
            EmptyBatchError: no row has both a positive and a negative.
        """
        loss, logs = contrast_by_ids(vectors, batch, ctx, temperature=self.temperature, coupled=self.coupled)
        found = ctx.surveys.get(ctx.stage, {})
        told = {name: found[name].float() for name in COUNTS if name in found}
        return loss, {**logs, **told}

    def survey(self, vectors: Vectors, ids: Mapping[str, Tensor], ctx: Context) -> Survey:
        """Keep the encoder as the stage before left it, and cluster the scans.

        Returns:
            ``cluster``: of this survey; ``group``: of all surveys so far, -1 where a scan is left out; ``groups``,
            ``clusters_merged`` and ``scans_left_out``: their numbers; ``seed``: of the sampler.
        """
        number = _number(ctx.stage)
        self.earlier[number - 1].load_state_dict(self.encoder.state_dict())
        features = scan_features(vectors)
        seed = torch.randint(2**62, (1,), generator=ctx.generator)
        label = k_means(features, self.clusters, ctx.generator).labels
        labels = [*(ctx.surveys[_name(before)]["cluster"] for before in range(1, number)), label]
        patients = scan_ids(ids["patient"])
        found = settled(labels, [self.clusters] * number, patients, scans=max(2, ctx.batch))
        counts = (found.count, found.merged, found.left_out)
        numbers = {name: torch.tensor(value) for name, value in zip(COUNTS, counts, strict=True)}
        return {"cluster": label, "group": found.labels, "seed": seed, **numbers}

    def check(self, facts: Facts) -> list[str]:
        """Refuse more clusters than scans can fill; note clusters that will be joined.

        Raises:
            RecipeError: there are fewer than two patients a cluster, or fewer steps than stages.
        """
        count = len(self.projectors)
        if facts.patients < 2 * self.clusters:
            reason = (
                f"{self.clusters} clusters need scans of {2 * self.clusters} patients or more, got {facts.patients}"
            )
            raise RecipeError(reason, path="clusters", hint="use fewer clusters")
        if facts.steps < count:
            raise RecipeError(f"{count} stages need as many steps, got {facts.steps}", path="stages")
        if facts.scans < facts.batch * self.clusters ** (count - 1):
            return [f"clusters of {count - 1} surveys will be smaller than a batch of {facts.batch}, and joined"]
        return []

    def exported(self) -> dict[str, nn.Module]:
        """The encoder, the encoders of earlier stages (``encoder-0``, …), and a projector a stage."""
        earlier = {f"encoder-{number}": one for number, one in enumerate(self.earlier)}
        projectors = {f"projector-{number}": one for number, one in enumerate(self.projectors)}
        return {"encoder": self.encoder, **earlier, **projectors}

    def represent(self, image: Tensor) -> Tensor:
        """The stages' features side by side; see ``concatenated``."""
        return concatenated([*self.earlier, self.encoder], image)


def concatenated(encoders: Iterable[nn.Module], image: Tensor) -> Tensor:
    """MCL's representation: the pooled vectors of several encoders, each brought to length one, side by side.

    Args:
        encoders: of the stages, the first stage first.
        image: ``(N, C, i, j, k)``.

    Returns:
        ``(N, sum of widths)``, of length √S for S encoders.
    """
    return torch.cat([unit(encoder(image).pooled) for encoder in encoders], dim=1)


def _name(number: int) -> str:
    return f"stage-{number}"


def _number(stage: str) -> int:
    return int(stage.removeprefix("stage-"))


def _within(number: int) -> MakeSampler:
    """Builds the sampler of a stage from its survey."""

    def sampler(ids: ScanIds, surveys: Mapping[str, Survey]) -> ClusterRestrictedSampler:
        found = surveys[_name(number)]
        return ClusterRestrictedSampler(ids, found["group"].tolist(), int(found["seed"]))

    return sampler
