"""The momentum teacher: its formula, its ramp, its state, and what it leaves alone."""

import math

import pytest
import torch
from torch import nn

from medssl.errors import RecipeError
from medssl.pairing.momentum import MomentumTeacher, momentum_at, scaled_momentum


def student(seed=0):
    torch.manual_seed(seed)
    return {"net": nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))}


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_moves_exactly_as_the_formula():
    networks = student()
    teacher = MomentumTeacher(networks, 0.9)
    teacher.follow(networks)
    before = weights(teacher["net"]).clone()
    with torch.no_grad():
        for parameter in networks["net"].parameters():
            parameter.add_(torch.randn_like(parameter))
    teacher.move(networks, 0.5)
    expected = before * 0.9 + weights(networks["net"]) * (1 - 0.9)
    torch.testing.assert_close(weights(teacher["net"]), expected, rtol=0, atol=1e-7)


def test_the_cosine_ramp():
    start, total = 0.996, 10
    found = [momentum_at(t / total, start, "cosine") for t in range(total + 1)]
    assert found[0] == start
    assert found[-1] == 1.0
    assert found == sorted(found)
    assert found[3] == pytest.approx(1 - (1 - start) * (math.cos(math.pi * 3 / total) + 1) / 2, rel=1e-12)


def test_becomes_the_student_at_first_use_and_not_again():
    networks = student()
    teacher = MomentumTeacher(networks, 0.9)
    with torch.no_grad():  # weights that were loaded after construction
        networks["net"][0].weight.fill_(7.0)
    teacher.follow(networks)
    assert torch.equal(weights(teacher["net"]), weights(networks["net"]))
    with torch.no_grad():
        networks["net"][0].weight.fill_(-7.0)
    teacher.follow(networks)
    assert (teacher["net"][0].weight == 7.0).all()


def test_state_goes_on_where_it_was_left():
    networks = student()
    teacher = MomentumTeacher(networks, 0.9)
    teacher.follow(networks)
    with torch.no_grad():
        networks["net"][0].weight.add_(1.0)
    teacher.move(networks, 0.0)
    other = MomentumTeacher(student(1), 0.9)
    other.load_state_dict(teacher.state_dict())
    other.follow(networks)  # has started already: no copy
    assert torch.equal(weights(other["net"]), weights(teacher["net"]))
    assert not torch.equal(weights(other["net"]), weights(networks["net"]))


def test_a_fresh_state_starts_anew():
    networks = student()
    teacher = MomentumTeacher(networks, 0.9)
    fresh = {key: value.clone() for key, value in teacher.state_dict().items()}
    teacher.follow(networks)
    teacher.load_state_dict(fresh)
    with torch.no_grad():
        networks["net"][0].weight.fill_(7.0)
    teacher.follow(networks)
    assert torch.equal(weights(teacher["net"]), weights(networks["net"]))


def test_buffers_are_copied():
    networks = student()
    teacher = MomentumTeacher(networks, 0.9)
    networks["net"](torch.randn(5, 3))
    teacher.move(networks, 0.0)
    torch.testing.assert_close(teacher["net"][1].running_mean, networks["net"][1].running_mean)
    assert int(teacher["net"][1].num_batches_tracked) == 1


def test_has_no_gradient_and_leaves_the_student_trainable():
    networks = student()
    teacher = MomentumTeacher(networks, 0.9)
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in networks["net"].parameters())
    assert not {id(p) for p in teacher.parameters()} & {id(p) for p in networks["net"].parameters()}


def with_dropout():
    torch.manual_seed(0)
    return {"net": nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.InstanceNorm1d(4))}


@pytest.mark.parametrize(("norms", "expected"), [("batch", True), ("running", False)])
def test_only_norms_are_ever_in_training(norms, expected):
    teacher = MomentumTeacher(with_dropout(), 0.9, norms=norms)
    parts = teacher["net"]
    for _ in range(2):
        assert [part.training for part in parts] == [False, expected, False, expected]
        nn.ModuleList([teacher]).eval()
        assert not any(part.training for part in parts)
        nn.ModuleList([teacher]).train()


def test_statistics_of_the_batch_or_running_ones():
    x = torch.randn(16, 3, generator=torch.Generator().manual_seed(0)) * 5
    networks = student()
    networks["net"](x)
    ours, running = MomentumTeacher(networks, 0.9), MomentumTeacher(networks, 0.9, norms="running")
    for teacher in (ours, running):
        teacher.follow(networks)
    expected = networks["net"](x)
    torch.testing.assert_close(ours["net"](x), expected)
    networks["net"].eval()
    ours.move(networks, 0.0)
    torch.testing.assert_close(running["net"](x[:1]), running["net"](x)[:1])
    # statistics of its own forwards are not kept: the buffers are the student's
    assert torch.equal(ours["net"][1].running_mean, networks["net"][1].running_mean)


def test_several_students_move_each_towards_its_own():
    networks = {"one": nn.Linear(2, 2), "two": nn.Linear(3, 3)}
    teacher = MomentumTeacher(networks, 0.75)
    teacher.follow(networks)
    before = {name: weights(teacher[name]).clone() for name in networks}
    with torch.no_grad():
        networks["two"].weight.add_(4.0)
    teacher.move(networks, 0.0)
    assert torch.equal(weights(teacher["one"]), before["one"])
    torch.testing.assert_close(teacher["two"].weight, networks["two"].weight - 3.0)


def test_a_smaller_batch_moves_less_a_step_and_as_much_a_scan():
    momentum, steps = scaled_momentum(0.99, 64, 256), 4
    assert momentum**steps == pytest.approx(0.99)
    assert scaled_momentum(0.99, 256, 256) == 0.99
    with pytest.raises(ValueError, match="batches above 0"):
        scaled_momentum(0.99, 0, 256)


def test_settings_out_of_range_are_refused():
    with pytest.raises(RecipeError, match=r"momentum must be in \[0, 1\], got 1.5"):
        MomentumTeacher(student(), 1.5)
    with pytest.raises(RecipeError, match="norms must be one of batch, running"):
        MomentumTeacher(student(), 0.5, norms="own")  # type: ignore[arg-type]
