"""Three steps of MoCHi with a queue, on one process with a batch or on two with halves of it."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist

from medssl.objectives.contrast_bank import contrast_bank
from medssl.objectives.cosine import unit
from medssl.pairing.bank import bank_pairs, own_columns
from medssl.pairing.chance import common_generator
from medssl.pairing.hard_mixing import hardest, mixed_negatives
from medssl.pairing.members import members_of
from medssl.pairing.queue import Queue
from medssl.training.gather import gather
from tests.pairing.vectors import batch, chance, members, units, views

PATIENTS = [0, 1, 2, 3, 4, 5, 5, 0]


def train(rank: int, world: int, folder: str) -> None:
    """Save the losses, the weights and the queue of the process in a folder."""
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    torch.manual_seed(0)
    net, queue = torch.nn.Linear(8, 8), Queue(20, 8)
    queue.enqueue(units(20, 8, 5), members([n % 7 for n in range(20)]))
    count = 8 // world
    mine = slice(rank * count, (rank + 1) * count)
    images = units(8)[mine]
    losses = []
    for step in range(3):
        who = members_of(batch(count, view=views(list(range(count)), patient=PATIENTS[mine])), "view", gather)
        query, key = gather(net(images)), gather(images.roll(1, 1))
        # a generator of its own on each process, as training gives
        generator = common_generator(chance(100 + 2 * step + rank), gather, query)
        rows, pairs = queue.rows(), bank_pairs(who, queue.members())
        made = mixed_negatives(rows, hardest(query, rows, pairs(slice(0, 8))[1], 6), 5, generator)
        own = own_columns(query, key, made)
        loss, _ = contrast_bank(unit(query), rows, temperature=0.2, pairs=pairs, own=own)
        net.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in net.parameters():
                if world > 1:
                    dist.all_reduce(parameter.grad)
                parameter.sub_(0.5 * parameter.grad / world)
        queue.hold(key, who)
        queue.push()
        losses.append(loss.detach())
    kept = {**net.state_dict(), **queue.state_dict(), "losses": torch.stack(losses)}
    torch.save(kept, Path(folder) / f"{world}-{rank}.pt")
    if world > 1:
        dist.destroy_process_group()
