"""The momentum teacher: a copy of networks that follows them as an exponential moving average (EMA)."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from medssl.encoders.settings import one_of
from medssl.errors import RecipeError

Ramp = Literal["constant", "cosine"]
Norms = Literal["batch", "running"]


def momentum_at(progress: float, start: float, ramp: Ramp) -> float:
    """The momentum at a share of the run: m(t) = 1 − (1 − m₀)(cos(πt/T) + 1)/2 for the cosine ramp.

    Example:
        >>> [momentum_at(share, 0.99, "cosine") for share in (0.0, 0.5, 1.0)]
        [0.99, 0.995, 1.0]
        >>> momentum_at(0.5, 0.9, "constant")
        0.9
    """
    if ramp == "constant" or progress <= 0:
        return start
    return 1 - (1 - start) * (math.cos(math.pi * min(progress, 1.0)) + 1) / 2


def scaled_momentum(momentum: float, batch: int, reference: int) -> float:
    """The momentum for another batch size: m^(batch / reference), so that a teacher averages over as many scans.

    Published momenta belong to batches of hundreds: 0.996 at 4,096 is 0.999 at 1,024. (The scaling rule of Busbridge
    et al., arXiv 2307.13813.) A method does not rescale by itself.

    Args:
        momentum: as published.
        batch: samples of a step here, over all processes.
        reference: samples of a step there.

    Example:
        >>> round(scaled_momentum(0.996, 1024, 4096), 4)
        0.999
    """
    if not (0 <= momentum <= 1 and batch > 0 and reference > 0):
        raise ValueError(f"momentum is in [0, 1] and batches above 0, got {momentum}, {batch} and {reference}")
    return float(momentum ** (batch / reference))


class MomentumTeacher(nn.Module):
    """Copies of named networks, without gradient, that move towards them once per optimiser step.

    Parameters move as θ_t ← m θ_t + (1 − m) θ_s. Buffers (running statistics of norms) are copied, so that the
    teacher in evaluation is a network that could have been trained. Many releases move parameters alone and leave
    the teacher the running statistics of its own forwards; in training, where batch statistics are used, that makes
    no difference. What must not be copied (a centre, a queue) stands beside the teacher, not in it. The copy is made
    when the teacher is first used, so that weights which the student was given in the meantime are the teacher's
    too; whether it was made is part of the state.

    In training the teacher never drops anything out: its answers are targets.

    Args:
        students: name to network; the same names are given to ``follow`` and ``move``. A student that has parts
            which the teacher lacks (BYOL's and MoCo v3's predictor) is given without them.
        momentum: m₀.
        ramp: ``constant`` (MoCo v2), or ``cosine`` to reach 1 at the end of the run (BYOL, MoCo v3, DINO).
        norms: what the teacher's batch norms use in training: statistics of the ``batch``, as the releases of MoCo,
            BYOL and DINO do, or those ``running`` with the student.
    """

    started: Tensor

    def __init__(
        self, students: Mapping[str, nn.Module], momentum: float, ramp: Ramp = "constant", norms: Norms = "batch"
    ) -> None:
        super().__init__()
        one_of("ramp", ramp, ("constant", "cosine"))
        one_of("norms", norms, ("batch", "running"))
        if not 0 <= momentum <= 1:
            raise RecipeError(f"momentum must be in [0, 1], got {momentum}")
        self.momentum = momentum
        self.ramp: Ramp = ramp
        self.norms: Norms = norms
        self.networks = nn.ModuleDict({name: copy.deepcopy(student) for name, student in students.items()})
        self.networks.requires_grad_(False)
        self.register_buffer("started", torch.zeros((), dtype=torch.int64))
        self._known_to_follow = False
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Batch norms alone are ever in training, and only where they use the batch's statistics."""
        super().train(mode)
        self.networks.eval()
        if mode and self.norms == "batch":
            for part in self.networks.modules():
                if isinstance(part, _NormBase):
                    part.train()
        return self

    def __getitem__(self, name: str) -> nn.Module:
        return self.networks[name]

    @torch.no_grad()
    def follow(self, students: Mapping[str, nn.Module]) -> None:
        """Become equal to the students, the first time only; asked before the teacher's first forward."""
        if self._known_to_follow:
            return
        # the buffer is looked at once, and not at every step, since that would wait for the device
        if int(self.started) == 0:
            self._move(students, 0.0)
            self.started.fill_(1)
        self._known_to_follow = True

    @torch.no_grad()
    def move(self, students: Mapping[str, nn.Module], progress: float) -> None:
        """One step towards the students; called once per optimiser step.

        Args:
            students: the networks that were given at construction.
            progress: share of the run that is done, 0 to 1.
        """
        self.follow(students)
        self._move(students, momentum_at(progress, self.momentum, self.ramp))

    def _move(self, students: Mapping[str, nn.Module], momentum: float) -> None:
        for name, network in self.networks.items():
            student = students[name]
            for mine, theirs in zip(network.parameters(), student.parameters(), strict=True):
                mine.mul_(momentum).add_(theirs, alpha=1 - momentum)
            for kept, given in zip(network.buffers(), student.buffers(), strict=True):
                kept.copy_(given)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._known_to_follow = False
        super()._load_from_state_dict(*args, **kwargs)
