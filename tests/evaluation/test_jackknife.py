import math

import pytest
import torch

from tutelage.evaluation import Predictions, classification, jackknife, next_token, two_way
from tutelage.evaluation.jackknife import groups_of


def answers(count, seed, classes=3, sharp=2.0, labels=None):
    chance = torch.Generator().manual_seed(seed)
    if labels is None:
        labels = torch.randint(classes, (count,), generator=torch.Generator().manual_seed(99))
    logits = torch.randn(count, classes, generator=chance)
    logits[torch.arange(count), labels] += sharp * torch.rand(count, generator=chance)
    return Predictions(logits, labels, torch.arange(count))


def accuracy(held):
    return classification(held)["accuracy"]


def balanced(held):
    return classification(held)["balanced_accuracy"]


def perplexity(held):
    return next_token(held)["perplexity"]


def right(held):
    return (held.classes == held.labels).double()


def test_a_mean_is_shared_out_exactly():
    held = answers(60, seed=0)
    groups = groups_of(held.ids)
    values = jackknife(accuracy, held, held.ids)
    assert torch.allclose(values[groups], right(held), atol=1e-9)


def test_by_hand():
    # 2 of 4 right in groups of one; without a right one 1/3, without a wrong one 2/3; their mean is
    # 1/2, so the values are 1/2 + 3·(1/2 − 1/3) = 1 and 1/2 + 3·(1/2 − 2/3) = 0
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    held = Predictions(logits, torch.tensor([0, 1, 1, 0]), torch.arange(4))
    assert sorted(jackknife(accuracy, held, held.ids).tolist()) == pytest.approx([0, 0, 1, 1])


@pytest.mark.parametrize("measure", [accuracy, balanced, perplexity])
def test_the_mean_is_the_metric(measure):
    held = answers(333, seed=1)
    values = jackknife(measure, held, held.ids)
    assert len(values) == 100
    assert float(values.mean()) == pytest.approx(measure(held), rel=1e-9)


def test_groups_belong_to_the_ids():
    ids = torch.arange(1000) * 7
    groups = groups_of(ids)
    assert torch.bincount(groups).tolist() == [10] * 100
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(groups_of(ids[order]), groups[order])
    assert torch.equal(groups_of(ids.repeat_interleave(3)), groups.repeat_interleave(3))
    assert not torch.equal(groups, torch.arange(1000) % 100)
    assert int(groups_of(torch.tensor([5, 5, 9])).max()) == 1


def test_groups_of_ten_say_of_accuracy_what_single_examples_say():
    control, student = ([answers(3000, seed=10 * arm + seed) for seed in range(4)] for arm in (1, 2))
    exact = two_way(torch.stack([right(s) - right(c) for c, s in zip(control, student, strict=True)]))
    grouped = torch.stack(
        [
            jackknife(accuracy, s, s.ids) - jackknife(accuracy, c, c.ids)
            for c, s in zip(control, student, strict=True)
        ]
    )
    assert two_way(grouped).mean == pytest.approx(exact.mean, abs=1e-9)
    assert two_way(grouped).half_width(0.95) == pytest.approx(exact.half_width(0.95), rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("measure", "per_cluster"),
    [(balanced, 1), (perplexity, 1), (perplexity, 5)],
    ids=["balanced", "perplexity", "documents"],
)
def test_it_agrees_with_a_bootstrap_of_seeds_and_examples(measure, per_cluster):
    seeds, clusters = 6, 150
    count = clusters * per_cluster
    of = torch.arange(count) // per_cluster
    labels = torch.randint(3, (clusters,), generator=torch.Generator().manual_seed(5)).repeat_interleave(
        per_cluster
    )
    hard = torch.randn(clusters, 1, generator=torch.Generator().manual_seed(6)).repeat_interleave(
        per_cluster, 0
    )

    def arm(start, sharp):
        held = [
            answers(count, seed=start + seed, labels=labels, sharp=sharp + 0.15 * seed)
            for seed in range(seeds)
        ]
        return [Predictions(each.logits * (1 + 0.3 * sharp * hard.exp()), labels, each.ids) for each in held]

    control, student = arm(100, 1.0), arm(200, 2.0)
    values = [
        [jackknife(measure, held, of, most=clusters) for held in held_by] for held_by in (control, student)
    ]
    luck = two_way(torch.stack(values[1]) - torch.stack(values[0]))

    chance = torch.Generator().manual_seed(0)
    found = []
    for _ in range(300):
        drawn = torch.randint(clusters, (clusters,), generator=chance)
        places = (drawn.unsqueeze(-1) * per_cluster + torch.arange(per_cluster)).flatten()
        rows = torch.randint(seeds, (seeds,), generator=chance).tolist()
        found.append(
            sum(measure(student[row].take(places)) - measure(control[row].take(places)) for row in rows)
            / seeds
        )
    # what a bootstrap of both expects: it takes the cells for all there are, and counts what is left thrice
    seeds_part = (luck.seed_variance + luck.interaction / clusters) * (seeds - 1) / seeds**2
    examples_part = (luck.example_variance + luck.interaction / seeds) / clusters
    left_part = luck.interaction * (seeds - 1) / (seeds**2 * clusters)
    expected = math.sqrt(seeds_part + examples_part + left_part)
    assert expected == pytest.approx(torch.tensor(found).std().item(), rel=0.15)


def test_too_few_examples():
    held = answers(1, seed=0)
    with pytest.raises(ValueError, match="1 examples and at most 100 groups"):
        jackknife(accuracy, held, held.ids)
    with pytest.raises(ValueError, match="at most 1 groups"):
        groups_of(torch.arange(5), most=1)


def test_a_metric_that_cannot_do_without_a_group():
    held = answers(5, seed=0)
    with pytest.raises(ValueError, match="without group 0 of 5 it is nan"):
        jackknife(lambda some: 1.0 if len(some) == 5 else math.nan, held, held.ids)
