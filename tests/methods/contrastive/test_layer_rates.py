"""Learning rates by layer, down to what the optimizer does with them."""

import pytest
import torch

from medssl.methods.contrastive.layer_rates import Rates, layer_rates
from medssl.training.optimizers import Optim, make_optimizer, set_rate
from tests.methods.tiny import build

DEEP = {"patch": 4, "width": 24, "depth": 3, "heads": 2}


def rates_of(method, rates):
    groups = layer_rates(method, method.encoder, rates)
    names = {id(p): name for name, p in method.named_parameters()}
    return {names[id(p)]: (g["lr_scale"], g.get("weight_decay")) for g in groups for p in g["params"]}


def test_rates_fall_from_the_last_block_to_the_patch_embedding():
    from medssl.encoders.build import build_encoder
    from medssl.methods.contrastive.dinov2 import DINOv2
    from medssl.methods.contrastive.self_distillation import Head

    method = DINOv2(build_encoder("vit", 1, **DEEP), head=Head(8, 32, 16))
    found = rates_of(method, Rates(0.9, 0.2))
    assert set(found) == {name for name, p in method.named_parameters() if p.requires_grad}
    for block in range(3):
        assert found[f"encoder.blocks.{block}.qkv.weight"] == (pytest.approx(0.9 ** (3 - block)), None)
        assert found[f"encoder.blocks.{block}.qkv.bias"] == (pytest.approx(0.9 ** (3 - block)), 0.0)
    assert found["encoder.patch_embed.weight"] == (pytest.approx(0.2 * 0.9**4), None)
    assert found["encoder.mask_token"] == (pytest.approx(0.9**4), 0.0)
    assert found["encoder.norm.weight"] == (1.0, 0.0)
    assert found["head.prototypes.weight"] == found["token_head.projector.layers.0.weight"] == (1.0, None)


def test_without_decay_all_have_the_full_rate():
    assert {scale for scale, _ in rates_of(build("dinov2", "vit"), Rates(1.0, 1.0)).values()} == {1.0}


def test_an_encoder_without_blocks_has_one_rate():
    method = build("dino", "resnet")
    assert {scale for scale, _ in rates_of(method, Rates()).values()} == {1.0}


def test_a_step_is_as_long_as_its_rate_says():
    method = build("dinov2", "vit")
    optimizer = make_optimizer(Optim(name="sgd", lr=1.0, weight_decay=0.0), method.param_groups())
    set_rate(optimizer, 0.5)
    before = {name: p.detach().clone() for name, p in method.named_parameters() if p.requires_grad}
    for p in method.parameters():
        p.grad = torch.ones_like(p) if p.requires_grad else None
    optimizer.step()
    # Nesterov: the first step is 1.9 gradients long
    moved = {name: float((old - method.get_parameter(name)).mean()) for name, old in before.items()}
    assert moved["encoder.patch_embed.weight"] == pytest.approx(0.5 * 1.9 * 0.2 * 0.9**2, rel=1e-4)
    assert moved["encoder.blocks.0.qkv.weight"] == pytest.approx(0.5 * 1.9 * 0.9, rel=1e-4)
    assert moved["head.prototypes.weight"] == pytest.approx(0.5 * 1.9, rel=1e-4)
