"""Large batches on one device: encoded a few samples at a time, in two passes (GradCache, arXiv 2101.06983).

The first pass gives all vectors without keeping what their gradients need; the loss over all of them gives the
gradient of every vector. The second pass encodes each part again, with the same chance, and hands those gradients on
to the weights. Loss and gradients are those of one pass over the whole batch, for the memory of one part.

That holds for networks that treat each sample by itself. A batch norm does not, and is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from medssl.errors import RecipeError
from medssl.methods.contract import Context, Method, Vectors
from medssl.training.parts import in_order, parts
from medssl.views.view import Batch

Backward = Callable[[Sequence[Tensor], Sequence[Tensor] | None, bool], None]
"""Propagates gradients back: of what, the gradients there (None: it is the loss), and whether it is the step's last
time, so that several processes exchange their gradients then and only then."""

Chance = tuple[Tensor, Tensor, Tensor | None]
"""Where torch's generator stands, the method's own, and that of the device if it has one."""

Learned = tuple[Vectors, Tensor, dict[str, Tensor]]
"""The vectors of the whole batch, the loss and what to log."""


def refuse_batch_norms(method: Method, size: int, batch: int) -> None:
    """Refuse what cannot be encoded in parts.

    Args:
        method: in training mode, as it is trained.
        size: samples of a part.
        batch: samples of a step and process; a part that holds all of them is no part.

    Raises:
        RecipeError: the method looks across samples, or a norm takes its statistics from all rows (``optim.chunk``).
    """
    if size >= batch:
        return
    if not method.row_wise:
        raise RecipeError(
            f"{type(method).__name__} encodes a batch as a whole, its networks look across samples",
            path="optim.chunk",
            hint="set optim.chunk: null",
        )
    norms = [name for name, module in method.named_modules() if isinstance(module, _BatchNorm) and _mixes(module)]
    if norms:
        more = f" and {len(norms) - 4} more" if len(norms) > 4 else ""
        where = ["encoder.norm: group (or instance)"] * any("encoder." in name for name in norms)
        where += ["method.norm: layer"] * any("encoder." not in name for name in norms)
        raise RecipeError(
            f"batch norms take their statistics from all samples of a step and would see {size} of {batch}:"
            f" {', '.join(norms[:4])}{more}",
            path="optim.chunk",
            hint=f"set {' and '.join(where)}, or optim.chunk: null",
        )


def learn_in_chunks(method: Method, batch: Batch, ctx: Context, size: int, backward: Backward) -> Learned:
    """Encode and learn from a batch, ``size`` samples at a time.

    Args:
        method: its parameters get gradients; ``refuse_batch_norms`` has let it pass.
        batch: on the method's device.
        ctx: its generator is replayed for the second pass, as torch's own are.
        size: samples of a part.
        backward: see ``Backward``.

    Raises:
        EmptyBatchError: the loss's own; no gradient has been made then.
    """
    batch = in_order(batch)
    *earlier, last = parts(batch, size)
    chance, found = _looked_ahead(method, earlier, ctx, batch)
    # the last part is encoded once: its graph waits for the loss
    kept = method.encode(last, ctx)
    found.append({name: rows.detach() for name, rows in kept.items()})
    trained = [name for name, rows in kept.items() if rows.requires_grad]
    vectors = {name: torch.cat([one[name] for one in found]) for name in kept}
    for name in trained:
        vectors[name].requires_grad_()
    counts = {name: [len(one[name]) for one in found] for name in trained}
    found.clear()
    loss, logs = method.loss(vectors, batch, ctx)
    backward([loss], None, not trained)
    if trained:
        gradients = [dict(zip(trained, one, strict=True)) for one in zip(*_split(vectors, counts), strict=True)]
        after = _chance(ctx, batch)
        _hand_on(kept, gradients[-1], backward, not earlier)
        del kept
        for n, part in enumerate(earlier):
            _replay(chance[n], ctx, batch)
            _hand_on(method.encode(part, ctx), gradients[n], backward, n == len(earlier) - 1)
        _replay(after, ctx, batch)
    return {name: rows.detach() for name, rows in vectors.items()}, loss, logs


def _looked_ahead(
    method: Method, earlier: list[Batch], ctx: Context, batch: Batch
) -> tuple[list[Chance], list[Vectors]]:
    """The vectors of all parts but the last, without a graph, and where the generators stood before each."""
    chance, found = [], []
    with torch.no_grad():
        for part in earlier:
            chance.append(_chance(ctx, batch))
            found.append(method.encode(part, ctx))
    # a weight that autocast has turned into half precision without a graph must not be used again with one
    torch.clear_autocast_cache()
    return chance, found


def _split(vectors: Vectors, counts: dict[str, list[int]]) -> list[tuple[Tensor | None, ...]]:
    """For every name the gradients by part; None where the loss does not depend on the vectors."""
    found: list[tuple[Tensor | None, ...]] = []
    for name, lengths in counts.items():
        gradient = vectors[name].grad
        found.append((None,) * len(lengths) if gradient is None else torch.split(gradient, lengths))
    return found


def _hand_on(vectors: Vectors, gradients: dict[str, Tensor | None], backward: Backward, last: bool) -> None:
    pairs = [(vectors[name], gradient) for name, gradient in gradients.items() if gradient is not None]
    if not pairs and last:
        # the other processes wait for this backward, too
        pairs = [(rows, torch.zeros_like(rows)) for rows in vectors.values() if rows.requires_grad]
    if pairs:
        backward([rows for rows, _ in pairs], [gradient for _, gradient in pairs], last)


def _chance(ctx: Context, batch: Batch) -> Chance:
    """Where torch's generators and the method's own stand."""
    device = _device(batch)
    there = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), ctx.generator.get_state(), there


def _replay(chance: Chance, ctx: Context, batch: Batch) -> None:
    torch.set_rng_state(chance[0])
    ctx.generator.set_state(chance[1])
    if chance[2] is not None:
        torch.cuda.set_rng_state(chance[2], _device(batch))


def _device(batch: Batch) -> torch.device:
    found: torch.device = next(iter(batch.roles.values())).image.device
    return found


def _mixes(norm: _BatchNorm) -> bool:
    return norm.training or norm.running_mean is None
