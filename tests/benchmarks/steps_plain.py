"""Training steps as a researcher writes them by hand: one class a method, plain PyTorch, of medssl the encoder alone.

Each takes an encoder and a batch of image tensors, and does forward, backward, clipping, AdamW and whatever moves after
the step. AdamW leaves biases and norms without decay, as everybody does.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

HIDDEN, OUTPUTS, PROTOTYPES, BOTTLENECK, QUEUE = 512, 128, 1024, 128, 512
MOMENTUM = 0.99


def perceptron(inputs: int, outputs: int, norm: bool = True) -> nn.Sequential:
    """Two layers, with a batch norm between them or without."""
    parts: list[nn.Module] = [nn.Linear(inputs, HIDDEN, bias=not norm)]
    parts += [nn.BatchNorm1d(HIDDEN)] if norm else []
    return nn.Sequential(*parts, nn.ReLU(), nn.Linear(HIDDEN, outputs))


class Plain(nn.Module, ABC):
    """A method by hand.

    Args:
        encoder: is copied.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder)
        self.optimizer: torch.optim.Optimizer | None = None

    @abstractmethod
    def loss(self, images: list[Tensor]) -> Tensor:
        """Of a batch: the two large views, then small ones."""

    def after(self) -> None:
        """What moves once the weights have moved."""

    def start(self, lr: float) -> None:
        """Make the optimizer."""
        learned = [p for p in self.parameters() if p.requires_grad]
        matrices, vectors = [p for p in learned if p.ndim > 1], [p for p in learned if p.ndim <= 1]
        groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=0.05)

    def step(self, images: list[Tensor]) -> float:
        """A whole step; its loss."""
        assert self.optimizer is not None
        self.optimizer.zero_grad()
        loss = self.loss(images)
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in self.parameters() if p.requires_grad], 1.0)
        self.optimizer.step()
        self.after()
        return loss.item()


class SimCLR(Plain):
    """NT-Xent."""

    def __init__(self, encoder: nn.Module, width: int) -> None:
        super().__init__(encoder)
        self.projector = perceptron(width, OUTPUTS)

    def loss(self, images: list[Tensor]) -> Tensor:
        """See ``Plain.loss``."""
        z = functional.normalize(self.projector(self.encoder(torch.cat(images)).pooled), dim=1)
        similarity = z @ z.T / 0.1
        similarity.fill_diagonal_(-torch.inf)
        half = len(z) // 2
        partner = torch.cat([torch.arange(half, 2 * half), torch.arange(half)])
        return functional.cross_entropy(similarity, partner)


class MoCoV2(Plain):
    """A queue of keys."""

    queue: Tensor

    def __init__(self, encoder: nn.Module, width: int) -> None:
        super().__init__(encoder)
        self.projector = perceptron(width, OUTPUTS, norm=False)
        self.teacher = frozen([self.encoder, self.projector])
        self.register_buffer("queue", functional.normalize(torch.randn(QUEUE, OUTPUTS), dim=1))
        self.at = 0

    def loss(self, images: list[Tensor]) -> Tensor:
        """See ``Plain.loss``."""
        query = functional.normalize(self.projector(self.encoder(images[0]).pooled), dim=1)
        with torch.no_grad():
            self.keys = functional.normalize(self.teacher[1](self.teacher[0](images[1]).pooled), dim=1)
        own = (query * self.keys).sum(1, keepdim=True)
        logits = torch.cat([own, query @ self.queue.T], dim=1) / 0.2
        return functional.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long))

    def after(self) -> None:
        """See ``Plain.after``."""
        follow(self.teacher, [self.encoder, self.projector])
        self.queue[self.at : self.at + len(self.keys)] = self.keys
        self.at = (self.at + len(self.keys)) % QUEUE


class BYOL(Plain):
    """Prediction of the teacher's projection."""

    def __init__(self, encoder: nn.Module, width: int) -> None:
        super().__init__(encoder)
        self.projector, self.predictor = perceptron(width, OUTPUTS), perceptron(OUTPUTS, OUTPUTS)
        self.teacher = frozen([self.encoder, self.projector])

    def loss(self, images: list[Tensor]) -> Tensor:
        """See ``Plain.loss``."""
        both = torch.cat(images)
        prediction = self.predictor(self.projector(self.encoder(both).pooled))
        with torch.no_grad():
            one, other = self.teacher[1](self.teacher[0](both).pooled).chunk(2)
        return 2 * (2 - 2 * functional.cosine_similarity(prediction, torch.cat([other, one]))).mean()

    def after(self) -> None:
        """See ``Plain.after``."""
        follow(self.teacher, [self.encoder, self.projector])


class DINO(Plain):
    """Two large views and small ones, prototypes, a centre."""

    centre: Tensor

    def __init__(self, encoder: nn.Module, width: int) -> None:
        super().__init__(encoder)
        parts = [
            nn.Linear(width, HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, BOTTLENECK),
        ]
        self.head = nn.Sequential(*parts)
        self.last = nn.Linear(BOTTLENECK, PROTOTYPES, bias=False)
        self.teacher = frozen([self.encoder, self.head, self.last])
        self.register_buffer("centre", torch.zeros(PROTOTYPES))

    def loss(self, images: list[Tensor]) -> Tensor:
        """See ``Plain.loss``."""
        large, small = torch.cat(images[:2]), torch.cat(images[2:])
        pooled = torch.cat([self.encoder(large).pooled, self.encoder(small).pooled])
        student = functional.log_softmax(scores(self.head(pooled), self.last) / 0.1, dim=1).chunk(len(images))
        with torch.no_grad():
            self.taught = scores(self.teacher[1](self.teacher[0](large).pooled), self.teacher[2])
            targets = functional.softmax((self.taught - self.centre) / 0.04, dim=1).chunk(2)
        pairs = [(t, s) for t in range(2) for s in range(len(images)) if s != t]
        return torch.stack([-(targets[t] * student[s]).sum(1).mean() for t, s in pairs]).mean()

    def after(self) -> None:
        """See ``Plain.after``."""
        follow(self.teacher, [self.encoder, self.head, self.last])
        self.centre.mul_(0.9).add_(self.taught.mean(0), alpha=0.1)


def scores(vectors: Tensor, last: nn.Linear) -> Tensor:
    """Cosines with prototypes."""
    return functional.normalize(vectors, dim=1) @ functional.normalize(last.weight, dim=1).T


def frozen(networks: Iterable[nn.Module]) -> nn.ModuleList:
    """A teacher's copy."""
    return nn.ModuleList(copy.deepcopy(one) for one in networks).requires_grad_(False)


@torch.no_grad()
def follow(teacher: nn.ModuleList, students: Iterable[nn.Module]) -> None:
    """One step of the moving average."""
    for mine, theirs in zip(teacher, students, strict=True):
        for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
            a.mul_(MOMENTUM).add_(b, alpha=1 - MOMENTUM)
        for a, b in zip(mine.buffers(), theirs.buffers(), strict=True):
            a.copy_(b)


PLAIN: dict[str, type[Plain]] = {"simclr": SimCLR, "moco-v2": MoCoV2, "byol": BYOL, "dino": DINO}
