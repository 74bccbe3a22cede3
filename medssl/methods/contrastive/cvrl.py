"""CVRL: views of one scan, or of a patient's scans, attract each other; near ones are taken oftener than far ones.

Qian et al., CVPR 2021, arXiv 2008.03800, for the clips of a video. Of a gap t up to the longest M the density is
(1 − (t/M)^a) · (a + 1)/(aM). Here t is a distance in the body in millimetres, axis by axis, or the days between two
visits. What changes a view's values is drawn once a view, never slice by slice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.errors import InputError, RecipeError
from medssl.heads.projector import Projector
from medssl.loading.plan import ScanIds, Survey
from medssl.loading.time_sampler import TimePairSampler
from medssl.methods.contract import Context, Method, Stage, Vectors, ViewSettings
from medssl.methods.contrastive.by_ids import contrast_by_ids
from medssl.methods.passes import pooled, through
from medssl.methods.roles import augmentations, random_crops
from medssl.views.crops.distance import AtDistance
from medssl.views.crops.matched import Matched
from medssl.views.view import Batch, Role

Millimetres = Annotated[float, Field(gt=0)]


class CVRL(Method):
    """NT-Xent over pairs whose distance follows a law.

    Args:
        encoder: whose pooled vector is projected.
        apart: ``space``: both views are of one scan. ``time``: the second is of the same place, as far as the body's
            box tells it, in another scan of the patient; the manifest's ``date`` or ``day`` says when scans were made.
        power: a of the law. 1 falls in a straight line; the larger, the more far pairs.
        reach: M, the longest gap: millimetres along each axis, one number or three (i, j, k); in time days. None for
            all that a scan has room for, or a patient's scans span.
        temperature: what similarities are divided by.
        hidden: width between the projector's four layers.
        outputs: length of the vectors that are compared.
        norm: the projector's norm: ``batch``, ``layer`` or ``none``.

    Raises:
        RecipeError: three numbers for days.
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        apart: Literal["space", "time"] = "space",
        power: Annotated[float, Field(gt=0)] = 1.0,
        reach: Millimetres | tuple[Millimetres, Millimetres, Millimetres] | None = None,
        temperature: Annotated[float, Field(gt=0)] = 0.1,
        hidden: Annotated[int, Field(ge=1)] = 2048,
        outputs: Annotated[int, Field(ge=1)] = 128,
        norm: Literal["batch", "layer", "none"] = "batch",
    ) -> None:
        super().__init__()
        if apart == "time" and isinstance(reach, tuple):
            raise RecipeError(f"expected one number of days, got {list(reach)}", path="reach")
        self.encoder = encoder
        self.projector = Projector(encoder.width, hidden, outputs, layers=4, norm=norm)
        self.apart, self.power, self.reach = apart, power, reach
        self.temperature = temperature

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """In space two views of role ``view``; in time ``view``, and ``partner`` at the same place of another scan."""
        if self.apart == "time":
            view = random_crops(settings)
            return {"view": view, "partner": replace(view, crop=_same_place(settings), record=1)}
        reach = self.reach if isinstance(self.reach, tuple | None) else (self.reach,) * 3
        crop = AtDistance(settings.crop, self.power, reach, settings.scale)
        return {"view": Role(crop, 2, spatial=settings.spatial, augment=augmentations(settings))}

    def stages(self, steps: int, settings: ViewSettings) -> Sequence[Stage]:
        """One stage; in time its samples are pairs of a patient's scans."""
        sampler = self._visits if self.apart == "time" else None
        return [Stage("main", steps, self.views(settings), sampler=sampler)]

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """A vector for every crop of every role."""
        return through(self.projector, pooled(self.encoder, batch, tuple(batch.roles)))

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The contrast over the rows of all processes.

        Raises:
            EmptyBatchError: no row has both a positive and a negative.
        """
        return contrast_by_ids(vectors, batch, ctx, tuple(batch.roles), temperature=self.temperature)

    def exported(self) -> dict[str, nn.Module]:
        """Encoder and projector."""
        return {"encoder": self.encoder, "projector": self.projector}

    def _visits(self, ids: ScanIds, surveys: Mapping[str, Survey]) -> TimePairSampler:
        """Pairs in time.

        Raises:
            InputError: no patient was scanned on two known days.
        """
        known: dict[int, set[int]] = {}
        for position in range(len(ids)):
            found = ids.ids(position)
            if found.get("patient", -1) >= 0 and found.get("time", -1) >= 0:
                known.setdefault(found["patient"], set()).add(found["time"])
        if all(len(days) < 2 for days in known.values()):
            raise InputError(
                "no patient was scanned on two known days",
                code="too-few",
                hint="give the manifest a column date or day, or set method.apart=space",
            )
        reach = self.reach if isinstance(self.reach, float | int) else None
        return TimePairSampler(ids, power=self.power, reach=reach)


def _same_place(settings: ViewSettings) -> Matched:
    return Matched("view", settings.crop, scale=settings.scale)
