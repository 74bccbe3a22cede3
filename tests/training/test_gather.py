"""Two processes with gathered rows have the gradient of one process with the whole batch."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from medssl.training.gather import gather

ROWS = torch.linspace(-1, 1, 20, dtype=torch.float64).reshape(5, 4).sin()
SIZES = (2, 3)


def _loss(all_rows: torch.Tensor) -> torch.Tensor:
    """A loss in which every row meets every other."""
    return (all_rows @ all_rows.T).exp().sum().log()


def _work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    weight = torch.eye(4, dtype=torch.float64, requires_grad=True)
    mine = ROWS[:2] if rank == 0 else ROWS[2:]
    rows = gather(mine @ weight)
    ids = gather(torch.full((SIZES[rank],), rank))
    flags = gather(torch.tensor([True] * SIZES[rank]))
    _loss(rows).backward()
    assert weight.grad is not None
    grad = weight.grad.clone()
    dist.all_reduce(grad)
    torch.save({"grad": grad / 2, "ids": ids, "flags": flags, "rows": rows.detach()}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_gradient_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    mp.spawn(_work, (str(tmp_path),), nprocs=2)
    weight = torch.eye(4, dtype=torch.float64, requires_grad=True)
    _loss(ROWS @ weight).backward()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert torch.allclose(found["grad"], weight.grad, rtol=1e-12)
        assert torch.equal(found["rows"], ROWS)
        assert found["ids"].tolist() == [0, 0, 1, 1, 1]
        assert found["flags"].dtype == torch.bool


def test_alone_it_is_the_value_itself() -> None:
    value = torch.ones(2, requires_grad=True)
    assert gather(value) is value
