"""One forward pass for several roles."""

import torch

from medssl.methods.contract import Batch
from medssl.methods.passes import pooled, through
from tests.methods.tiny import SIDE, build, make_views


def two_sizes():
    patients = [1, 2]
    whole = make_views([(0, (0, 0, 0)), (1, (3, 0, 0))], patients)
    other = make_views([(1, (1, 2, 0)), (0, (3, 0, 0))], patients)
    small = make_views([(0, (0, 0, 0)), (1, (3, 0, 0)), (1, (0, 0, 0))], patients, shape=(SIDE // 2,) * 3)
    return Batch({"view": whole, "local": small, "partner": other}, 2)


def test_views_of_any_size_keep_their_role_and_row():
    encoder = build("simclr", "resnet").encoder
    batch = two_sizes()
    found = pooled(encoder, batch, ("view", "local", "partner"))
    assert list(found) == ["view", "local", "partner"]
    for role, rows in found.items():
        torch.testing.assert_close(rows, encoder(batch[role].image).pooled)


def test_views_of_one_size_pass_together():
    encoder = build("simclr", "resnet").encoder
    seen = []
    encoder.register_forward_hook(lambda m, args, out: seen.append(tuple(args[0].shape)))
    pooled(encoder, two_sizes(), ("view", "local", "partner"))
    assert seen == [(4, 1, 16, 16, 16), (3, 1, 8, 8, 8)]


def test_a_head_sees_all_roles_at_once():
    norm = torch.nn.BatchNorm1d(3, affine=False)
    rows = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    found = through(norm, {"view": rows[:4], "partner": rows[4:]})
    together = torch.cat(list(found.values()))
    torch.testing.assert_close(together.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    assert [len(part) for part in found.values()] == [4, 2]
