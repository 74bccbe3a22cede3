"""MoCo v3: predictions of one view find their scan among the teacher's vectors of the batch's other views.

Chen, Xie and He, ICCV 2021, arXiv 2104.02057. No queue: the batch of all processes gives the negatives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.errors import RecipeError
from medssl.heads.projector import Projector
from medssl.methods.contract import Context, Method, Vectors, ViewSettings
from medssl.methods.contrastive.prediction import taught
from medssl.methods.contrastive.rows import members, told
from medssl.methods.roles import PAIR, two_views
from medssl.objectives.contrastive import contrast
from medssl.objectives.cosine import cosine, spread
from medssl.pairing.momentum import MomentumTeacher
from medssl.pairing.relation import same_sample
from medssl.views.view import Batch, Role


class MoCoV3(Method):
    """2τ times InfoNCE of predictions and the teacher's projections, the sum of both directions.

    Views of one patient are never negatives.

    Args:
        encoder: the student; the teacher is a copy of it and the projector that follows them.
        overlap: how much the two crops of a scan overlap along each axis, at least; with 0 they may only touch.
        temperature: what similarities are divided by.
        momentum: of the teacher at the start; it grows to 1 over the run, as a cosine.
        hidden: width between the layers of projector and predictor.
        outputs: length of the vectors that are compared.
        norm: of projector and predictor. ``batch`` is the paper's; ``layer`` depends on no other row.
        freeze_patches: keep a ViT's patch embedding as it is at the start, which the paper found to be steadier.
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        overlap: Annotated[float, Field(ge=0, le=1)] = 0.5,
        temperature: Annotated[float, Field(gt=0)] = 0.2,
        momentum: Annotated[float, Field(ge=0, le=1)] = 0.99,
        hidden: Annotated[int, Field(ge=1)] = 4096,
        outputs: Annotated[int, Field(ge=1)] = 256,
        norm: Literal["batch", "layer", "none"] = "batch",
        freeze_patches: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        # three layers on a transformer, two on a CNN
        layers = 2 if encoder.masking == "erase" else 3
        self.projector = Projector(encoder.width, hidden, outputs, layers=layers, norm=norm, last_norm=True)
        self.predictor = Projector(outputs, hidden, outputs, norm=norm, last_norm=True)
        self.teacher = MomentumTeacher(self._students, momentum, "cosine")
        self.overlap = overlap
        self.temperature = temperature
        if freeze_patches:
            patches = getattr(encoder, "patch_embed", None)
            if not isinstance(patches, nn.Module):
                reason = f"{type(encoder).__name__} has no patch embedding that could be kept as it is"
                raise RecipeError(reason, path="freeze_patches", hint="use encoder vit, or freeze_patches: false")
            patches.requires_grad_(False)

    @property
    def _students(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "projector": self.projector}

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """A crop of each scan, and a second one around it."""
        return two_views(settings, self.overlap)

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``view``, ``partner``: predictions; ``view_teacher``, ``partner_teacher``: the teacher's projections."""
        heads = {"projector": self.projector, "predictor": self.predictor}
        return taught(self.encoder, heads, batch, self.teacher)

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The contrast of all processes' predictions with all processes' targets.

        Raises:
            EmptyBatchError: no row has both a positive and a negative.
        """
        who = {role: members(batch, ctx, (role,)) for role in PAIR}
        losses, logs = [], []
        for role, other in (PAIR, PAIR[::-1]):
            query, key = ctx.gather(vectors[role]), ctx.gather(vectors[f"{other}_teacher"]).detach()
            relation = same_sample(who[role], who[other])
            found, log = contrast(cosine(query, key) / self.temperature, relation.positive, relation.negative)
            losses.append(2 * self.temperature * found)
            logs.append({**told(log, self.temperature, len(query)), "embedding_std": spread(key)})
        return losses[0] + losses[1], {name: (logs[0][name] + logs[1][name]) / 2 for name in logs[0]}

    def after_step(self, ctx: Context) -> None:
        """The teacher follows."""
        self.teacher.move(self._students, ctx.progress)

    def exported(self) -> dict[str, nn.Module]:
        """Encoder, projector, predictor and the teacher of the first two."""
        return {**self._students, "predictor": self.predictor, "teacher": self.teacher}
