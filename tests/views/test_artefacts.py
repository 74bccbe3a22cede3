"""Augmentations that imitate scanners, and those of restoration tasks: each against what it is defined to do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from medssl.errors import RecipeError
from medssl.views.about import About
from medssl.views.augment.bezier import Bezier, bezier_curve
from medssl.views.augment.bias_field import BiasField
from medssl.views.augment.blur import Blur
from medssl.views.augment.contrast_phase import ContrastPhase
from medssl.views.augment.ghosting import Ghosting
from medssl.views.augment.gibbs import Gibbs
from medssl.views.augment.histogram_shift import HistogramShift
from medssl.views.augment.kernel import Kernel
from medssl.views.augment.local_shuffle import LocalShuffle
from medssl.views.augment.motion import Motion
from medssl.views.augment.outside import Outside, body_mask
from medssl.views.augment.painting import Painting
from medssl.views.augment.quantum import Quantum
from medssl.views.augment.sharpen import Sharpen
from medssl.views.augment.spikes import Spikes
from medssl.views.augment.streaks import Streaks
from medssl.views.augment.thickness import Thickness
from medssl.views.augment.window_jitter import WindowJitter

CT = About((1.0, 1.0, 3.0), "CT", -175.0, 250.0)
MR = About((1.0, 1.0, 1.0), "MR", 0.0, 900.0)
CT_ONLY = [Quantum, Kernel, Streaks, ContrastPhase]
MR_ONLY = [BiasField, Ghosting, Motion, Gibbs, Spikes]


def _image(shape: tuple[int, ...] = (1, 12, 10, 8), seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape).astype(np.float32))


def _drawn(part: object, about: About = CT, seed: int = 1) -> dict[str, object]:
    params: dict[str, object] = part.draw(np.random.default_rng(seed), about)  # type: ignore[attr-defined]
    return params


@pytest.mark.parametrize(("part", "about"), [*((p, MR) for p in CT_ONLY), *((p, CT) for p in MR_ONLY)])
def test_effects_of_the_other_modality_leave_a_view_alone(part: type, about: About) -> None:
    assert _drawn(part(p=1.0), about) == {}
    assert _drawn(part(p=1.0), About()) != {}


def test_blur_is_round_in_millimetres() -> None:
    assert _drawn(Blur(p=1.0, strength=(1.5, 1.5)))["sigma"] == [1.5, 1.5, 0.5]


def test_sharpening_twice_the_difference() -> None:
    image = torch.full((1, 5, 5, 21), 0.3)
    image[..., 10:] = 0.6
    blurred = Blur().apply(image, {"sigma": [1.0, 1.0, 1.0]})
    out = Sharpen().apply(image, {"amount": 1.0, "sigma": [1.0, 1.0, 1.0]})
    torch.testing.assert_close(out, (2 * image - blurred).clamp(0, 1))
    assert torch.allclose(Sharpen().apply(image[..., :5], {"amount": 3.0, "sigma": [1.0] * 3}), torch.tensor(0.3))


@pytest.mark.parametrize("grain", [0.0, 0.6, 1.0])
def test_quantum_noise_is_that_of_water_at_water_and_little_in_air(grain: float) -> None:
    about = About((1.0, 1.0, 3.0), "CT", -1000.0, 1000.0)
    params = _drawn(Quantum(p=1.0, strength=(20.0, 20.0), grain=grain), about)
    for hu, expected in ((0.0, 20.0), (-750.0, 10.0), (-1000.0, 20 * np.sqrt(0.05)), (800.0, 20 * np.sqrt(1.8))):
        level = about.to_range(hu)
        out = Quantum().apply(torch.full((1, 40, 40, 40), level), params)
        inner = out[:, 6:-6, 6:-6]
        # half of what falls below 0 is cut off in air
        measured = inner.std() if level > 0 else torch.sqrt(2 * (inner**2).mean())
        assert float(measured) * 2000 == pytest.approx(expected, rel=0.04)


def test_quantum_noise_has_its_grain_in_the_plane_alone() -> None:
    params = _drawn(Quantum(p=1.0, strength=(30.0, 30.0), grain=1.0))
    field = Quantum().apply(torch.full((1, 40, 40, 40), 0.5), params)[0] - 0.5
    var = float((field**2).mean())
    assert float((field[1:] * field[:-1]).mean()) / var > 0.6
    assert abs(float((field[:, :, 1:] * field[:, :, :-1]).mean())) / var < 0.05


def test_a_histogram_shift_rises_and_goes_through_its_points() -> None:
    params = _drawn(HistogramShift(p=1.0, strength=(0.45, 0.45), points=4))
    y = params["y"]
    assert (y[0], y[-1]) == (0.0, 1.0)
    x = torch.linspace(0, 1, 6).reshape(1, 6, 1, 1)
    np.testing.assert_allclose(HistogramShift().apply(x, params).ravel(), y, atol=1e-3)
    out = HistogramShift().apply(torch.linspace(0, 1, 999).reshape(1, -1, 1, 1), params)
    assert (out.ravel().diff() >= 0).all()


@pytest.mark.parametrize("falling", [False, True])
def test_a_bezier_map_keeps_or_swaps_the_ends(falling: bool) -> None:
    for seed in range(20):
        params = _drawn(Bezier(p=1.0, falling=float(falling)), seed=seed)
        out = Bezier().apply(torch.linspace(0, 1, 500).reshape(1, -1, 1, 1), params).ravel()
        assert (float(out[0]), float(out[-1])) == ((1.0, 0.0) if falling else (0.0, 1.0))
        steps = out.diff()
        assert (steps <= 0).all() if falling else (steps >= 0).all()


def test_a_straight_bezier_is_the_identity() -> None:
    x, y = bezier_curve([[1 / 3, 1 / 3], [2 / 3, 2 / 3]], False)
    np.testing.assert_allclose(x, y)


def test_thick_slices_are_means_across_the_slices() -> None:
    params = _drawn(Thickness(p=1.0, strength=(1.0, 1.0)))
    assert params == {"factor": 2.0, "axis": 2}
    image = _image((2, 6, 5, 8))
    out = Thickness().apply(image, params)
    thick = image.reshape(2, 6, 5, 4, 2).mean(-1)
    # the middle between two thick slices is a quarter of a thick slice away from each voxel
    torch.testing.assert_close(out[..., 1], 0.75 * thick[..., 0] + 0.25 * thick[..., 1])
    plane = _image((1, 6, 5, 1)).expand(1, 6, 5, 8)
    torch.testing.assert_close(Thickness().apply(plane, params), plane)


def test_slices_never_become_thicker_than_scanners_make_them() -> None:
    strongest = Thickness(p=1.0, strength=(4.0, 4.0))
    for spacing, factor in (((1.0, 1.0, 1.0), 5.0), ((0.7, 0.7, 5.0), 2.0), ((0.5, 12.0, 0.5), 1.0)):
        assert strongest.draw(np.random.default_rng(0), About(spacing))["factor"] == factor
    with pytest.raises(RecipeError, match="thickest_mm"):
        Thickness(thickest_mm=0.0)


def test_motion_is_as_large_for_a_mouse_as_for_a_man() -> None:
    man, mouse = (_drawn(Motion(p=1.0), About((s, s, 4 * s))) for s in (1.0, 0.15))
    np.testing.assert_allclose(man["shifts"], mouse["shifts"])
    shifts = np.abs(man["shifts"])
    assert shifts[:, :2].max() > shifts[:, 2].max() * 2


def test_one_shuffled_window_keeps_its_values_and_all_others_their_place() -> None:
    image = _image((2, 20, 20, 20))
    out = LocalShuffle().apply(image, {"edge": 0.5, "windows": 1, "seed": 4})
    moved = (out != image).any(dim=0)
    where = np.argwhere(moved.numpy())
    low, high = where.min(axis=0), where.max(axis=0) + 1
    assert (high - low <= 10).all()
    window = np.s_[:, low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    np.testing.assert_array_equal(np.sort(out[window].reshape(2, -1)), np.sort(image[window].reshape(2, -1)))
    # the channels move together
    pairs = {tuple(pair) for pair in image.reshape(2, -1).T.tolist()}
    assert {tuple(pair) for pair in out.reshape(2, -1).T.tolist()} <= pairs


@pytest.mark.parametrize("where", ["in", "out"])
def test_painting_leaves_the_other_side_alone(where: str) -> None:
    image = torch.full((1, 30, 30, 30), 0.25)
    part = Painting(p=1.0, where=where)  # type: ignore[arg-type]
    for seed in range(10):
        params = _drawn(part, seed=seed)
        assert (where == "out") <= len(params["windows"]) <= 5
        windows = np.zeros((30, 30, 30), bool)
        for window in params["windows"]:
            box = []
            for edge, place in window:
                size = round(edge * 30)
                assert (5 <= size <= 10) if where == "in" else (13 <= size <= 17)
                start = 3 + int(place * (30 - size - 5))
                assert 3 <= start <= 27 - size
                box.append(slice(start, start + size))
            windows[tuple(box)] = True
        changed = (Painting().apply(image, params) != image)[0].numpy()
        np.testing.assert_array_equal(changed, windows if where == "in" else ~windows)


@pytest.mark.parametrize(("where", "fewest"), [("in", 0), ("out", 1)])
def test_windows_follow_one_another_with_the_published_chance(where: str, fewest: int) -> None:
    part = Painting(p=1.0, where=where)  # type: ignore[arg-type]
    counts = [len(_drawn(part, seed=seed)["windows"]) for seed in range(2000)]
    assert (min(counts), max(counts)) == (fewest, 5)
    assert counts.count(5) / 2000 == pytest.approx(0.95 ** (5 - fewest), abs=0.03)
    assert counts.count(fewest) / 2000 == pytest.approx(0.05, abs=0.015)


def test_windows_of_a_small_view_leave_what_margin_there_is() -> None:
    for seed in range(20):
        kept = Painting().apply(torch.full((1, 4, 5, 30), 2.0), _drawn(Painting(p=1.0, where="out"), seed=seed)) == 2
        assert kept.any()
        assert not kept[0, 0].any()


def test_painting_is_out_four_times_of_five() -> None:
    drawn = [_drawn(Painting(p=1.0), seed=seed)["where"] for seed in range(300)]
    assert drawn.count("out") / 300 == pytest.approx(0.8, abs=0.07)


def test_a_bias_field_is_the_exponential_of_its_polynomial() -> None:
    coefficients = np.zeros((4, 4, 4))
    coefficients[1, 0, 0], coefficients[0, 2, 1] = 0.3, -0.2
    out = BiasField().apply(torch.full((1, 9, 7, 5), 0.5), {"coefficients": coefficients.tolist()})[0]
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (9, 7, 5)), indexing="ij")
    np.testing.assert_allclose(out, 0.5 * np.exp(0.3 * x - 0.2 * y**2 * z), rtol=1e-5)


def test_a_bias_field_has_no_constant_term_and_no_higher_order() -> None:
    numbers = np.asarray(_drawn(BiasField(p=1.0, strength=(0.4, 0.4), order=2), MR)["coefficients"])
    for place in itertools.product(range(3), repeat=3):
        assert (numbers[place] != 0) == (0 < sum(place) <= 2)


def test_ghosts_stand_at_equal_distances() -> None:
    image = torch.zeros(1, 64, 3, 3)
    image[0, 20] = 0.9
    out = Ghosting().apply(image, {"loss": 0.5, "every": 4, "axis": 0})[0, :, 1, 1].numpy()
    expected = np.zeros(64)
    expected[20] = 0.9 * (1 - 0.5 / 4)
    expected[[36, 52, 4]] = 0.9 * 0.5 / 4
    # the lines of the middle keep their weight: a constant that is small
    np.testing.assert_allclose(out, expected, atol=0.9 * 0.5 / 64 + 1e-6)


def test_lines_after_a_move_are_those_of_the_moved_body() -> None:
    image = _image((1, 8, 8, 8)) * 0.5 + 0.25
    params = {"times": [0.3, 0.8], "shifts": [[1.0, 0.0, 2.0], [3.0, 1.0, 2.0]], "axis": 1}
    moved = [np.roll(image[0].numpy(), shift, axis=(0, 1, 2)) for shift in ((-1, 0, -2), (0, 0, 0), (2, 1, 0))]
    k = np.fft.fftn(moved[1])
    moment = np.fft.fftfreq(8) + 0.5
    for body, lines in ((moved[0], moment < 0.3), (moved[2], moment >= 0.8)):
        k[:, lines] = np.fft.fftn(body)[:, lines]
    expected = np.clip(np.abs(np.fft.ifftn(k)), 0, 1)
    np.testing.assert_allclose(Motion().apply(image, params)[0], expected, atol=2e-5)


def test_a_body_that_moved_before_the_middle_stays_where_it_is() -> None:
    image = _image()
    params = {"times": [0.0], "shifts": [[3.0, 1.0, 2.0]], "axis": 1}
    torch.testing.assert_close(Motion().apply(image, params), image, atol=1e-5, rtol=0)


def test_ringing_takes_high_frequencies_and_leaves_low_ones() -> None:
    x = torch.arange(32) / 32
    low = (0.5 + 0.3 * torch.cos(2 * np.pi * 3 * x)).reshape(1, 32, 1, 1).expand(1, 32, 4, 4)
    high = (0.5 + 0.3 * torch.cos(2 * np.pi * 13 * x)).reshape(1, 32, 1, 1).expand(1, 32, 4, 4)
    params = {"keep": 0.5, "axes": [0, 1]}
    torch.testing.assert_close(Gibbs().apply(low, params), low, atol=1e-5, rtol=0)
    torch.testing.assert_close(Gibbs().apply(high, params), torch.full_like(high, 0.5), atol=1e-5, rtol=0)
    edge = (x > 0.5).float().reshape(1, 32, 1, 1).expand(1, 32, 4, 4) * 0.5 + 0.25
    assert float(Gibbs().apply(edge, params).max()) > 0.78


def test_a_spike_is_one_wave() -> None:
    image = torch.full((1, 16, 16, 16), 0.5)
    out = Spikes().apply(image, {"waves": [[3 / 16, -2 / 16, 5 / 16, 0.25]], "height": 0.1})[0]
    k = torch.fft.fftn(out - 0.5).abs()
    where = {tuple(place) for place in (k > 1).nonzero().tolist()}
    assert where == {(3, 14, 5), (13, 2, 11)}
    assert float((out - 0.5).abs().max()) <= 0.1 + 1e-6


def test_window_jitter_moves_the_ends() -> None:
    image = torch.tensor([0.1, 0.35, 0.6, 0.9]).reshape(1, 4, 1, 1)
    out = WindowJitter().apply(image, {"low": 0.1, "high": 0.6})
    assert out.ravel().tolist() == pytest.approx([0.0, 0.5, 1.0, 1.0])


def test_a_kernel_works_in_the_plane_alone() -> None:
    through = torch.rand(8, generator=torch.Generator().manual_seed(0)).expand(1, 9, 9, 8)
    params = _drawn(Kernel(p=1.0, strength=(0.8, 0.8)))
    torch.testing.assert_close(Kernel().apply(through, params), through, atol=1e-6, rtol=0)
    image = _image((1, 20, 20, 4)) * 0.4 + 0.3
    spread = [float(Kernel().apply(image, {**params, "amount": amount}).std()) for amount in (-0.8, 0.8)]
    assert spread[0] < float(image.std()) < spread[1]


def test_streaks_lie_in_the_slices_of_the_metal() -> None:
    about = About((1.0, 1.0, 5.0), "CT")
    params = {**_drawn(Streaks(p=1.0, strength=(0.4, 0.4)), about), "place": [0.5, 0.5, 0.5]}
    image = torch.full((1, 65, 65, 11), 0.5)
    out = Streaks().apply(image, params)[0]
    assert (out[30:35, 30:35, 5] == 1.0).all()
    changed = (out != 0.5).any(dim=0).any(dim=0).nonzero().ravel().tolist()
    assert changed == [4, 5, 6]
    # they fade with the distance
    assert float((out[:, 60:, 5] - 0.5).abs().max()) < float((out[:, 38:42, 5] - 0.5).abs().max())


def test_the_table_goes_and_the_body_stays() -> None:
    image = torch.zeros(1, 40, 40, 10)
    image[0, 8:32, 10:30] = 0.6
    image[0, 18:22, 18:22] = 0.0
    image[0, 4:36, 34] = 0.5
    body = body_mask(image[0].numpy(), 0.1, 2)
    expected = np.zeros((40, 40, 10), bool)
    expected[8:32, 10:30] = True
    np.testing.assert_array_equal(body, expected)
    out = Outside().apply(image, _drawn(Outside(p=1.0, strength=(0.1, 0.1))))
    assert torch.equal(out[0][expected], image[0][expected])
    assert float(out[0][~expected].max()) <= 0.1
    empty = torch.zeros(1, 6, 6, 6)
    assert torch.equal(Outside().apply(empty, _drawn(Outside(p=1.0))), empty)


def test_contrast_phases_rise_and_leave_other_tissue_alone() -> None:
    for seed in range(10):
        params = _drawn(ContrastPhase(p=1.0, strength=(60.0, 60.0)), seed=seed)
        hu = np.linspace(-175, 250, 400)
        view = torch.from_numpy((hu + 175) / 425).float().reshape(1, -1, 1, 1)
        out = ContrastPhase().apply(view, params).ravel().numpy() * 425 - 175
        assert (np.diff(out) >= -1e-4).all()
        np.testing.assert_allclose(out[hu < 5], hu[hu < 5], atol=0.05)
        assert np.abs(out - hu).max() > 5


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Quantum(grain=-1.0), "grain"),
        (lambda: Ghosting(ghosts=(1, 3)), "ghosts"),
        (lambda: Motion(moves=0), "moves"),
        (lambda: Spikes(count=0), "count"),
        (lambda: HistogramShift(points=0), "points"),
        (lambda: HistogramShift(strength=(0.0, 0.6)), "up to 0.5"),
        (lambda: Bezier(falling=2.0), "falling"),
        (lambda: Painting(where="up"), "where"),  # type: ignore[arg-type]
        (lambda: BiasField(order=0), "order"),
        (lambda: LocalShuffle(windows=0), "windows"),
        (lambda: Outside(level=1.0), "level"),
        (lambda: ContrastPhase(ranges=((3.0, 1.0),)), "ranges"),
        (lambda: Kernel(sigma=0.0), "sigma"),
        (lambda: Sharpen(sigma=0.0), "sigma"),
    ],
)
def test_settings_out_of_range(make: object, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        make()  # type: ignore[operator]
