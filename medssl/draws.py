"""Random numbers as a function of seed and counters, never of history.

Every draw of a run is addressed: ``generator(seed, DRAW, step, slot)`` gives the same stream in any
process, in any order, after any resume. The bit generator is Philox 4x64 (Salmon et al., SC 2011), which
takes the address as its key and counter.
"""

from __future__ import annotations

import hashlib

import numpy as np

SAMPLE, VIEW, STEP, INIT, SPLIT, PHANTOM = 1, 2, 3, 4, 5, 6
"""Purposes: which records a step takes, a slot's views, the step itself, weights, splits, phantoms."""


def generator(seed: int, *address: int) -> np.random.Generator:
    """A NumPy generator for one address.

    Args:
        seed: the run's seed.
        address: up to three non-negative integers, for example purpose, step and slot.

    Example:
        >>> a = generator(0, VIEW, 7, 3).integers(1000)
        >>> b = generator(0, VIEW, 7, 3).integers(1000)
        >>> bool(a == b)
        True
    """
    if len(address) > 3:
        raise ValueError(f"an address has at most 3 parts, got {len(address)}")
    # the lowest counter word is left at 0: Philox advances it while numbers are drawn
    counter = [0, *address, *[0] * (3 - len(address))]
    return np.random.Generator(np.random.Philox(key=seed & (2**64 - 1), counter=counter))


def torch_seed(seed: int, *address: int) -> int:
    """A 62-bit integer for ``torch.Generator.manual_seed`` at one address."""
    return int(generator(seed, *address).integers(2**62))


def stable_int(text: str) -> int:
    """A 62-bit integer of a text, the same in every process (unlike ``hash``).

    Example:
        >>> stable_int("patient-1") == stable_int("patient-1")
        True
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 2
