"""Two processes with half a batch each are one with all of it: loss, gradient, made-up vectors and queue."""

import torch
import torch.multiprocessing

from tests.pairing.two_halves import train


def test_two_processes_with_halves_are_one_with_the_whole(tmp_path):
    train(0, 1, str(tmp_path))
    torch.multiprocessing.spawn(train, (2, str(tmp_path)), nprocs=2)
    whole, first, second = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("1-0", "2-0", "2-1"))
    for name, value in whole.items():
        torch.testing.assert_close(first[name], value, rtol=1e-5, atol=1e-6, msg=name)
        assert torch.equal(first[name], second[name]), name
    assert len(set(whole["losses"].tolist())) == 3
