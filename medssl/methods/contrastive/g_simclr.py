"""G-SimCLR: scans that look alike never stand in one batch, so that they never repel each other.

Chakraborty et al., ICDMW 2020, arXiv 2009.12007. A denoising autoencoder is trained first; its pooled features are
clustered into as many pseudo-labels as a batch has samples, and each batch takes one scan of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.errors import RecipeError
from medssl.heads.bottleneck_decoder import BottleneckDecoder
from medssl.heads.projector import Projector
from medssl.loading.cluster_sampler import ClusterUniqueSampler
from medssl.loading.plan import ScanIds, Survey
from medssl.methods.contract import Context, Facts, Method, Stage, Vectors, ViewSettings
from medssl.methods.contrastive.by_ids import contrast_by_ids
from medssl.methods.contrastive.looks import LOOK, look_views, looked, scan_features
from medssl.methods.masked.rebuild import everywhere, rebuilding_loss
from medssl.methods.passes import pooled, through
from medssl.methods.roles import PAIR, random_crops, two_views
from medssl.pairing.k_means import k_means
from medssl.views.augment.noise import Noise
from medssl.views.crops.base_grid import Twin
from medssl.views.view import Batch, Role, Spatial

DENOISE, MAIN = "denoise", "main"
SIGMA = 0.01
"""Standard deviation of the autoencoder's noise, as a share of the network's range."""


class GSimCLR(Method):
    """NT-Xent, or DCL, over batches of scans of different pseudo-labels.

    Args:
        encoder: of the autoencoder first, then of the contrast.
        denoise: share of the steps that the autoencoder is given.
        clusters: pseudo-labels; None: as many as a step has samples, as in the paper.
        temperature: what similarities are divided by.
        coupled: whether the positive stands in the denominator too (False: DCL).
        hidden: width between the projector's two layers.
        outputs: length of the vectors that are compared.
        norm: the projector's norm: ``batch``, ``layer`` or ``none``.
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        denoise: Annotated[float, Field(gt=0, lt=1)] = 0.3,
        clusters: Annotated[int, Field(ge=2)] | None = None,
        temperature: Annotated[float, Field(gt=0)] = 0.1,
        coupled: bool = True,
        hidden: Annotated[int, Field(ge=1)] = 2048,
        outputs: Annotated[int, Field(ge=1)] = 128,
        norm: Literal["batch", "layer", "none"] = "batch",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = BottleneckDecoder(encoder.channels[-1], encoder.strides[-1], encoder.in_channels)
        self.projector = Projector(encoder.width, hidden, outputs, norm=norm)
        self.denoise, self.clusters = denoise, clusters
        self.temperature, self.coupled = temperature, coupled

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """A crop of each scan, and a second one around it that overlaps it by half along each axis."""
        return two_views(settings, 0.5)

    def stages(self, steps: int, settings: ViewSettings) -> Sequence[Stage]:
        """The autoencoder, then the contrast, with the survey between them."""
        clean = replace(random_crops(settings), spatial=Spatial(), augment=())
        noise = Noise(p=1.0, strength=(SIGMA, SIGMA))
        both = {"clean": clean, "noisy": replace(clean, crop=Twin("clean"), augment=(noise,))}
        first = min(max(1, round(steps * self.denoise)), steps - 1)
        return [
            Stage(DENOISE, first, both, trains=("encoder.", "decoder.")),
            Stage(
                MAIN,
                steps - first,
                self.views(settings),
                trains=("encoder.", "projector."),
                sampler=_all_different,
                survey=True,
                survey_views=look_views(settings),
            ),
        ]

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """By stage: ``rebuilt`` voxels, or ``view`` and ``partner``; in the survey pooled features."""
        if LOOK in batch:
            return looked(self.encoder, batch)
        if ctx.stage == DENOISE:
            image = batch["noisy"].image
            return {"rebuilt": self.decoder(self.encoder(image).pyramid[-1].data, image.shape[2:])}
        return through(self.projector, pooled(self.encoder, batch, PAIR))

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared error to the crops without noise, then the contrast.

        Raises:
            EmptyBatchError: no row has both a positive and a negative.
        """
        if ctx.stage == DENOISE:
            return rebuilding_loss(vectors["rebuilt"], everywhere(batch["clean"]), None, ctx)
        return contrast_by_ids(vectors, batch, ctx, temperature=self.temperature, coupled=self.coupled)

    def survey(self, vectors: Vectors, ids: Mapping[str, Tensor], ctx: Context) -> Survey:
        """``cluster``: a pseudo-label for every scan in store order; ``seed``: of the sampler."""
        features = scan_features(vectors)
        count = self.clusters or ctx.batch or 2
        seed = torch.randint(2**62, (1,), generator=ctx.generator)
        return {"cluster": k_means(features, count, ctx.generator).labels, "seed": seed}

    def check(self, facts: Facts) -> list[str]:
        """Refuse more clusters than scans can fill; note clusters that must come twice.

        Raises:
            RecipeError: there are fewer than two patients a cluster, or steps for one stage alone.
        """
        count = self.clusters or facts.batch
        if facts.patients < 2 * count:
            raise RecipeError(
                f"{count} clusters need scans of {2 * count} patients or more, got {facts.patients}",
                path="clusters",
                hint="lower optim.batch" if self.clusters is None else "use fewer clusters",
            )
        if facts.steps < 2:
            raise RecipeError(f"two stages need 2 steps or more, got {facts.steps}", path="denoise")
        if count < facts.batch:
            return [f"{count} clusters and {facts.batch} samples a step: batches hold scans of one cluster"]
        return []

    def exported(self) -> dict[str, nn.Module]:
        """Encoder, projector, and the autoencoder's decoder."""
        return {"encoder": self.encoder, "projector": self.projector, "decoder": self.decoder}


def _all_different(ids: ScanIds, surveys: Mapping[str, Survey]) -> ClusterUniqueSampler:
    found = surveys[MAIN]
    return ClusterUniqueSampler(ids, found["cluster"].tolist(), int(found["seed"]))
