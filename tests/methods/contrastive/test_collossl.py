"""ColloSSL: the weighted loss as a loop, its sign, missing sequences, and sequences compared once for the run."""

from __future__ import annotations

import math

import pytest
import torch

from medssl import draws
from medssl.errors import InputError
from medssl.manifest import Record
from medssl.methods.contract import EmptyBatchError
from medssl.methods.contrastive.collossl import ColloSSL
from medssl.methods.contrastive.looks import LOOKS
from medssl.pairing.sequences import LEAST, discrepancies, value_statistics
from medssl.store.rows import sequence_number
from medssl.training.fit import fit
from medssl.views.make import draw_views
from medssl.views.settings import ViewSettings
from medssl.views.view import Batch
from tests.methods.contrastive.pairs import draw
from tests.methods.contrastive.runs import SMALL, assert_goes_on_exactly, encoder, make_store, plan_of
from tests.methods.tiny import context, make_views

TAU = 0.2
DISTANCE = torch.tensor([[math.inf, 0.5, 2.0], [0.5, math.inf, 1.0], [2.0, 1.0, math.inf]], dtype=torch.float64)
SURVEY = {"main": {"sequence": torch.tensor([10, 20, 30]), "distance": DISTANCE, "seed": torch.tensor([0])}}


def make(**settings):
    return ColloSSL(encoder(), **{"scans": 3, **SMALL, "temperature": TAU, **settings})


def studies(sequences, patients):
    """A batch of studies by the sequence and the record of each role's scan, ``(sequence, record)``."""
    roles = {}
    for number in range(3):
        views = make_views([(owner, (0, 0, 0)) for owner in range(len(patients))], patients)
        views.ids["sequence"] = torch.tensor([study[number][0] for study in sequences])
        views.ids["record"] = torch.tensor([study[number][1] for study in sequences])
        roles[f"scan_{number}"] = views
    return Batch(roles, len(patients))


WHOLE = [
    [(10, 0), (20, 1), (30, 2)],
    [(20, 4), (30, 5), (10, 3)],
    [(30, 8), (10, 6), (20, 7)],
    [(10, 9), (20, 10), (30, 11)],
]
# the second study lacks 30 and shows 20 again
LACKING = [WHOLE[0], [(20, 4), (10, 3), (20, 4)], *WHOLE[2:]]
PATIENTS = [5, 6, 7, 7]


def loss_of(method, z, batch, surveys=SURVEY):
    """``z`` is ``(roles, studies, d)``."""
    values = {
        f"scan_{n}_statistics": value_statistics(batch[f"scan_{n}"].image, batch[f"scan_{n}"].valid) for n in range(3)
    }
    vectors = {f"scan_{n}": z[n] for n in range(3)} | values
    return method.loss(vectors, batch, context(surveys=surveys))


def direct(z, sequences):
    """The paper's sum over the views that are there."""
    rows, seen = [], set()
    for role in range(3):
        for study, scans in enumerate(sequences):
            if (study, scans[role][1]) not in seen:
                seen.add((study, scans[role][1]))
                rows.append((study, scans[role][0] // 10 - 1, torch.nn.functional.normalize(z[role, study], dim=0)))
    terms = []
    for study, kind, anchor in rows:
        twins = {k: v for s, k, v in rows if s == study and k != kind}
        closest = min(twins, key=lambda k: float(DISTANCE[kind, k]))
        positive = (anchor @ twins[closest] / TAU).exp()
        negative = sum(
            (anchor @ v / TAU).exp() / float(DISTANCE[kind, k])
            for s, k, v in rows
            if PATIENTS[s] != PATIENTS[study] and k != kind
        )
        terms.append(-(positive / (positive + negative)).log())
    return torch.stack(terms).mean(), len(rows)


@pytest.mark.parametrize(("sequences", "missing"), [(WHOLE, 0), (LACKING, 1)])
def test_it_is_the_papers_loss_without_what_is_missing(sequences, missing):
    z = draw(3, 4, 4)
    expected, rows = direct(z, sequences)
    assert rows == 12 - missing
    loss, logs = loss_of(make(), z, studies(sequences, PATIENTS))
    torch.testing.assert_close(loss, expected)
    assert float(logs["sequences_missing"]) == missing


def test_positives_attract():
    z = draw(3, 4, 4).requires_grad_()
    batch = studies(WHOLE, PATIENTS)
    loss, logs = loss_of(make(), z, batch)
    (gradient,) = torch.autograd.grad(loss, z)
    after, later = loss_of(make(), z.detach() - 0.05 * gradient, batch)
    assert after < loss
    assert later["similarity_positive"] > logs["similarity_positive"]


def test_sequences_of_equal_distance_weigh_alike():
    z, batch = draw(3, 4, 4), studies(WHOLE, PATIENTS)
    one, two = (torch.full((3, 3), d, dtype=torch.float64).fill_diagonal_(math.inf) for d in (1.0, 0.5))
    losses = [loss_of(make(), z, batch, {"main": {**SURVEY["main"], "distance": d}})[0] for d in (one, two)]
    # a distance of 1 is plain InfoNCE over the other sequences; half of it doubles every negative
    assert losses[1] > losses[0]


def test_one_patient_alone_or_no_names_say_nothing():
    z = draw(3, 4, 4)
    with pytest.raises(EmptyBatchError, match=r"no positive beside a negative"):
        loss_of(make(), z, studies(WHOLE, [5, 5, 5, 5]))
    nameless = studies(WHOLE, PATIENTS)
    for views in nameless.roles.values():
        views.ids["sequence"] = torch.full((4,), -1)
    with pytest.raises(EmptyBatchError, match=r"no scan says of which sequence it is"):
        loss_of(make(), z, nameless)


def test_views_outside_the_scan_are_missing():
    batch = studies(WHOLE, PATIENTS)
    batch["scan_1"].valid[0] = False
    _, logs = loss_of(make(), draw(3, 4, 4), batch)
    assert float(logs["sequences_missing"]) == 1


def test_the_survey_compares_all_scans_by_their_values():
    method = make()
    sequence = torch.tensor([30, 10, 30, 20, -1]).repeat_interleave(LOOKS)
    levels = {10: 0.2, 20: 0.3, 30: 0.9, -1: 0.5}
    image = torch.stack([torch.full((1, 2, 2, 2), levels[int(one)]) for one in sequence])
    values = value_statistics(image, torch.ones_like(image, dtype=torch.bool))
    found = method.survey({"look": values}, {"sequence": sequence}, context())
    assert found["sequence"].tolist() == [10, 20, 30]
    kind = torch.tensor([{10: 0, 20: 1, 30: 2, -1: -1}[int(one)] for one in sequence])
    torch.testing.assert_close(found["distance"], discrepancies(values, kind, 3))
    assert LEAST < found["distance"][0, 1] < found["distance"][0, 2]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    records = []
    for patient in range(4):
        for name in ("T1", "T2", "FLAIR")[: 2 + patient % 2]:
            number = len(records)
            records.append(Record(f"{number}.nii.gz", f"p{patient}", study_id=f"s{patient}", modality=name))
    return make_store(tmp_path_factory.mktemp("scans"), records)


def test_a_run_compares_sequences_once_and_goes_on_exactly(store, tmp_path):
    seen = []

    def whole():
        method = make()
        loss = method.loss
        method.loss = lambda vectors, batch, ctx: seen.append(ctx.surveys["main"]) or loss(vectors, batch, ctx)
        return method

    assert_goes_on_exactly(whole, store, tmp_path, (1, 4))
    assert seen[0]["sequence"].tolist() == sorted(sequence_number(name) for name in ("T1", "T2", "FLAIR"))
    assert all(torch.equal(one["distance"], seen[0]["distance"]) for one in seen)


def test_views_of_a_sample_show_one_place_of_one_study(store):
    roles = make().views(ViewSettings(crop=(8, 8, 8)))
    assert [role.record for role in roles.values()] == [0, 1, 2]
    drawn = draw_views(store, (2, 3, 4), roles, draws.generator(0, draws.VIEW, 0, 0))
    first, *others = (views[0].grid.affine for views in drawn.values())
    assert all((first == other).all() for other in others)


def test_without_studies_of_two_sequences_it_is_refused(store, tmp_path):
    alone = [n for n in range(len(store)) if store.modality(n) == "T1"]
    method = make()
    with pytest.raises(InputError, match=r"no study has scans of two sequences") as caught:
        fit(method, store.subset(alone), plan_of(method), tmp_path)
    assert "study_id" in caught.value.hint
