"""Batches that are encoded in chunks give the loss and the gradients of one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medssl.errors import RecipeError
from medssl.methods import METHODS
from medssl.methods.contract import Context, EmptyBatchError, Method
from medssl.training.chunked import learn_in_chunks, refuse_batch_norms
from medssl.training.parts import parts
from medssl.views.view import Batch
from tests.methods.tiny import CARRIES, batch_for, build, context, context_for, reorder

ENCODER = {name: CARRIES[name][0] for name in METHODS}

ROUNDING = {"spark": 1e-4, "models-genesis": 5e-4}
"""Where float32 rounds more coarsely than 1e-5: SparK's gradient is 2e-5 apart, and 1e-9 in float64; that of Models
Genesis 9e-5, and 3e-15 in float64."""

Gradients = dict[str, Tensor]


def alone(tensors: Sequence[Tensor], gradients: Sequence[Tensor] | None, last: bool) -> None:
    """The backward of a single process."""
    torch.autograd.backward(tensors, gradients)


def gradients(method: Method) -> Gradients:
    found = {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}
    method.zero_grad()
    return found


def at_once(method: Method, batch: Batch, ctx: Context, size: int) -> tuple[Tensor, Gradients]:
    """The same parts with the same chance, in one graph."""
    every = [method.encode(part, ctx) for part in parts(batch, size)]
    vectors = {name: torch.cat([one[name] for one in every]) for name in every[0]}
    loss, _ = method.loss(vectors, batch, ctx)
    loss.backward()
    return loss.detach(), gradients(method)


def in_chunks(method: Method, batch: Batch, ctx: Context, size: int) -> tuple[Tensor, Gradients]:
    _, loss, _ = learn_in_chunks(method, batch, ctx, size, alone)
    return loss.detach(), gradients(method)


def assert_alike(found: tuple[Tensor, Gradients], expected: tuple[Tensor, Gradients], rtol: float = 1e-5) -> None:
    """Loss and the gradient of all weights together, relative to its length."""
    assert found[1].keys() == expected[1].keys()
    torch.testing.assert_close(found[0], expected[0], rtol=rtol, atol=0)
    length = torch.stack([value.norm() for value in expected[1].values()]).norm()
    assert length > 0
    apart = torch.stack([(found[1][name] - value).norm() for name, value in expected[1].items()]).norm()
    assert float(apart / length) < rtol


def chances(method: Method, share: float = 0.3) -> None:
    """Dropout behind every convolution and linear layer of the encoder, and a look at torch's generator in each."""
    for module in method.encoder.modules():  # type: ignore[union-attr]
        if isinstance(module, nn.Conv3d | nn.Linear):
            module.register_forward_hook(lambda m, _, out: nn.functional.dropout(out, share, m.training))


def learnt(method: Method, name: str, steps: int = 2) -> None:
    """A few steps, so that queues hold something and teachers differ from students."""
    optimizer = torch.optim.SGD(method.param_groups(), lr=0.05)
    for step in range(steps):
        ctx = context_for(method, step=step)
        batch = batch_for(method, name)
        try:
            loss, _ = method.loss(method.encode(batch, ctx), batch, ctx)
        except EmptyBatchError:
            pass
        else:
            loss.backward()
            optimizer.step()
        method.zero_grad()
        method.after_step(ctx)


@pytest.mark.parametrize("name", METHODS)
def test_chunks_are_the_single_pass_for_every_method(name: str) -> None:
    method = build(name, ENCODER[name])
    assert method.row_wise, f"{name} is not row-wise: say why in its file, and here that chunks are refused"
    refuse_batch_norms(method, 3, 4)
    learnt(method, name)
    batch = batch_for(method, name)
    ctx = context_for(method, step=2)

    def seeded(how: Callable[..., Any]) -> Any:
        ctx.generator.manual_seed(1)
        torch.manual_seed(1)
        return how(method, batch, ctx, 3)

    # without dropout: the one pass is the whole batch's own
    one = seeded(lambda method, batch, ctx, _: at_once(method, batch, ctx, batch.size))
    assert_alike(seeded(in_chunks), one, ROUNDING.get(name, 1e-5))
    chances(method)
    dropped = seeded(at_once)
    assert_alike(seeded(in_chunks), dropped, ROUNDING.get(name, 1e-5))
    changed = [float((dropped[1][key] - value).norm() / value.norm()) for key, value in one[1].items() if value.any()]
    assert max(changed) > 1e-2, "the dropout does nothing"


class Noisy(Method):
    """Adds noise of both generators to a linear layer's answer; a part of the loss has weights of its own."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.prototypes = encoder, nn.Parameter(torch.randn(3, 2))
        self.encoded: list[tuple[int, bool]] = []

    def views(self, settings: Any) -> Any:  # noqa: D102
        return {}

    def encode(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:  # noqa: D102
        flat = batch["view"].image.flatten(1)
        self.encoded.append((len(flat), torch.is_grad_enabled()))
        rows = self.encoder(flat) + torch.randn(len(flat), 2)
        noise = torch.randn(len(flat), 1, generator=ctx.generator)
        return {"view": rows * noise, "view_teacher": rows.detach(), "unused": rows * 2}

    def loss(self, vectors: Any, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: D102
        if len(vectors["view"]) < 3:
            raise EmptyBatchError("too little", code="batch")
        assert not vectors["view_teacher"].requires_grad
        draw = torch.randn(3, generator=ctx.generator)
        scores = vectors["view"] @ self.prototypes.T + draw
        return scores.logsumexp(0).sum() + (vectors["view"] - vectors["view_teacher"]).square().mean(), {}

    def exported(self) -> dict[str, nn.Module]:  # noqa: D102
        return {"encoder": self.encoder}


def noisy(size: int = 5) -> tuple[Noisy, Batch]:
    """Views of 4³ voxels, so many samples."""
    from tests.methods.tiny import make_views

    views = make_views([(n, (0, 0, 0)) for n in range(size)], list(range(size)), shape=(4, 4, 4))
    return Noisy(nn.Linear(64, 2)), Batch({"view": views}, size)


@pytest.mark.parametrize("size", [1, 2, 4, 5])
def test_both_generators_are_replayed_and_weights_of_the_loss_learn(size: int) -> None:
    method, batch = noisy()
    found = []
    for how in (at_once, in_chunks):
        torch.manual_seed(3)
        ctx = Context(generator=torch.Generator().manual_seed(4))
        found.append((how(method, batch, ctx, size), ctx.generator.get_state(), torch.get_rng_state()))
    (one, *states), (two, *after) = found
    assert_alike(two, one, rtol=1e-6)
    assert {"prototypes", "encoder.weight"} <= two[1].keys()
    # what follows the step draws on as after one pass
    assert all(torch.equal(a, b) for a, b in zip(states, after, strict=True))


def test_the_last_chunk_is_encoded_once_and_the_others_twice() -> None:
    method, batch = noisy()
    calls: list[tuple[bool, bool]] = []

    def backward(tensors: Sequence[Tensor], gradients: Sequence[Tensor] | None, last: bool) -> None:
        calls.append((gradients is None, last))
        alone(tensors, gradients, last)

    learn_in_chunks(method, batch, Context(), 2, backward)
    assert method.encoded == [(2, False), (2, False), (1, True), (2, True), (2, True)]
    assert calls == [(True, False), (False, False), (False, False), (False, True)]


def test_the_order_of_views_changes_nothing() -> None:
    method = build("simclr", "resenc")
    batch = batch_for(method, "simclr")
    one = in_chunks(method, batch, context(), 2)
    roles = {name: reorder(views, torch.tensor([2, 0, 3, 1])) for name, views in batch.roles.items()}
    assert_alike(in_chunks(method, Batch(roles, 4), context(), 2), one)


def test_a_frozen_encoder_leaves_the_loss_its_own_weights() -> None:
    method, batch = noisy()
    method.encoder.requires_grad_(False)
    last: list[bool] = []
    learn_in_chunks(method, batch, Context(), 2, lambda t, g, end: (last.append(end), alone(t, g, end))[1])
    assert gradients(method).keys() == {"prototypes"}
    assert last == [True]


def test_an_empty_batch_leaves_no_gradient() -> None:
    method, batch = noisy(2)
    with pytest.raises(EmptyBatchError, match="too little"):
        learn_in_chunks(method, batch, Context(), 1, alone)
    assert gradients(method) == {}


@pytest.mark.parametrize("cached", [False, True])
def test_mixed_precision(cached: bool) -> None:
    method = build("simclr", "resenc")
    batch = batch_for(method, "simclr")
    found = []
    for how in (at_once, in_chunks):
        with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=cached):
            found.append(how(method, batch, context(), 2))
    assert_alike(found[1], found[0], rtol=2e-2)
    assert all(value.dtype == torch.float32 for value in found[1][1].values())


class Alive:
    """What a graph keeps: how many bytes now, and at most."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def pack(self, tensor: Tensor) -> Any:  # noqa: D102
        return Kept(self, tensor)


class Kept:
    """A saved tensor that tells when it is let go."""

    def __init__(self, alive: Alive, tensor: Tensor) -> None:
        self.alive, self.tensor = alive, tensor
        alive.now += tensor.nbytes
        alive.most = max(alive.most, alive.now)

    def __del__(self) -> None:
        self.alive.now -= self.tensor.nbytes


def test_the_graph_is_that_of_a_chunk() -> None:
    method = build("simclr", "resenc")
    batch = batch_for(method, "simclr", 8)

    def most(how: Callable[..., Any], *sizes: int) -> int:
        alive = Alive()
        with torch.autograd.graph.saved_tensors_hooks(alive.pack, lambda kept: kept.tensor):
            how(method, *sizes)
        return alive.most

    whole = most(lambda method: at_once(method, batch, context(), 8))
    small = most(lambda method: at_once(method, parts(batch, 2)[0], context(), 2))
    chunked = most(lambda method: in_chunks(method, batch, context(), 2))
    assert chunked < 1.1 * small < 0.4 * whole


@pytest.mark.parametrize(
    ("name", "settings", "norm", "says"),
    [
        ("simclr", {"norm": "batch"}, "group", ["projector.layers.1", "set method.norm: layer, or"]),
        ("simclr", {}, "batch", ["encoder.", "and 4 more", "set encoder.norm: group (or instance), or"]),
        ("voco", {"norm": "batch"}, "group", ["teacher.networks.projector.layers.1"]),
        ("voco", {"norm": "batch"}, "batch", ["set encoder.norm: group (or instance) and method.norm: layer, or"]),
    ],
)
def test_batch_norms_are_refused_by_name(
    name: str, settings: dict[str, Any], norm: str, says: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.methods import tiny

    monkeypatch.setitem(tiny.ENCODERS, "resenc", {**tiny.ENCODERS["resenc"], "norm": norm})
    method = build(name, "resenc", **settings)
    with pytest.raises(RecipeError, match="would see 2 of 4") as caught:
        refuse_batch_norms(method, 2, 4)
    assert caught.value.path == "optim.chunk"
    for text in says:
        assert text in str(caught.value)
    # a chunk that holds the batch is the single pass
    refuse_batch_norms(method, 4, 4)


def test_a_teacher_with_running_statistics_is_let_pass_and_whole_batches_are_not() -> None:
    method = build("simclr", "resenc")
    method.add_module("other", nn.BatchNorm1d(3).eval())
    refuse_batch_norms(method, 1, 4)
    method.add_module("mixing", nn.BatchNorm1d(3, track_running_stats=False).eval())
    with pytest.raises(RecipeError, match="mixing"):
        refuse_batch_norms(method, 1, 4)
    method = build("simclr", "resenc")
    method.row_wise = False  # type: ignore[misc]
    with pytest.raises(RecipeError, match="SimCLR encodes a batch as a whole"):
        refuse_batch_norms(method, 1, 4)
