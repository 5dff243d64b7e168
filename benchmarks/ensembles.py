"""Several teachers: eight nets into one, weights of each example's own, specialists beside a generalist.

    python benchmarks/ensembles.py eight       --data data/mnist   --out runs/ensembles
    python benchmarks/ensembles.py panel       --data data/mnist   --out runs/ensembles
    python benchmarks/ensembles.py specialists --data data/cifar10 --out runs/ensembles

`eight`: eight perceptrons of 32 units, trained with eight seeds, teach one of 32; over five seeds against
the same student alone, at the temperature that is best on the validation split. `panel`: of four such
teachers one learned false labels for the digits 0 to 4, once at random (there it is unsure) and once each
taken for the next (there it is sure and wrong); the mean and every way to weigh by example answer the test
set, and teach. `specialists`: a ResNet-8 over all classes of CIFAR-10 at 16 × 16, and one for each group of
classes that it confuses; with and without them, over three seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor, nn

import tutelage as tl
from tutelage.data import Examples, Source, Subset
from tutelage.engine import OptimizerSettings, Runtime, TrainSettings
from tutelage.evaluation import judge, predict
from tutelage.losses import response
from tutelage.schemes import Alone
from tutelage.schemes.declared import Declared
from tutelage.studies import Arm, Stage
from tutelage.tasks import vision
from tutelage.tasks.problem import Problem
from tutelage.tasks.vision import models
from tutelage.teachers import (
    Ensemble,
    Frozen,
    Panel,
    Specialists,
    Teacher,
    conflict,
    confusable_classes,
    specialist_labels,
)
from tutelage.training import evaluation_loader, train_arm

CPU = torch.device("cpu")
TEMPERATURES = [1.0, 2.0, 4.0]
"""What is tried on the validation split, once for each teacher."""

ADAM = {"student": OptimizerSettings(name="adam", options={"lr": 0.003}, schedule="cosine_annealing_lr")}
SGD = {
    "student": OptimizerSettings(
        name="sgd",
        options={"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True},
        schedule="cosine_annealing_lr",
    )
}


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["eight", "panel", "specialists"])
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    run = {"eight": eight, "panel": panel, "specialists": specialists}[options.what]
    found = run(options.data, options.out / options.what, options.epochs)
    path = options.out / f"{options.what}.json"
    path.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def eight(data: str, out: Path, epochs: int) -> dict[str, Any]:
    """Eight small nets into one of their size."""
    problem = vision.classification(data=data, validation=5000)
    nets = [alone(small, problem, out / f"teacher{seed}", epochs, ADAM, seed=100 + seed) for seed in range(8)]
    teacher = Ensemble([Frozen(net) for net in nets])
    tried = {
        held: tuned(teacher, problem, out / f"temperature {held}", epochs, held) for held in TEMPERATURES
    }
    chosen = max(tried, key=tried.__getitem__)
    run = taught(teacher, problem, out / "run", epochs, seeds=5, temperature=chosen)
    return {
        "members": [accuracy(Frozen(net), problem.test) for net in nets],
        "conflict": vars_of(conflict([Frozen(net) for net in nets], evaluation_loader(problem.test))),
        "temperatures on validation": tried,
        "temperature": chosen,
        "ensemble": run["teacher"]["quality"]["accuracy"]["mean"],
        "control": run["control"]["quality"]["accuracy"],
        "student": run["student"]["quality"]["accuracy"],
        "verdict": {key: run["verdict"][key] for key in ("word", "difference", "interval")},
    }


def panel(data: str, out: Path, epochs: int) -> dict[str, Any]:
    """The mean against weights by example, where one of four teachers is bad on half of the classes."""
    problem = vision.classification(data=data, validation=5000)
    good = [alone(small, problem, out / f"good{seed}", epochs, ADAM, seed=200 + seed) for seed in range(3)]
    found: dict[str, Any] = {}
    for kind, spoil in (("unsure", at_random), ("sure and wrong", each_the_next)):
        source = relabelled(problem.train, spoil)
        bad = alone(small, problem, out / kind, epochs, ADAM, seed=300, source=source)
        members = [Frozen(net) for net in (*good, bad)]
        ways: dict[str, Teacher] = {"mean": Ensemble(members)}
        ways |= {by: Panel(members, by=by, sharpness=4.0) for by in ("confidence", "entropy", "agreement")}
        found[kind] = {"conflict": vars_of(conflict(members, evaluation_loader(problem.test)))}
        for name, teacher in ways.items():
            tried = {
                held: tuned(teacher, problem, out / f"{kind} {name} {held}", epochs, held)
                for held in TEMPERATURES
            }
            chosen = max(tried, key=tried.__getitem__)
            where = out / f"run {kind} {name}"
            run = taught(teacher, problem, where, epochs, seeds=3, temperature=chosen, control=False)
            scores = run["student"]["quality"]["accuracy"]["per_seed"]
            found[kind][name] = {"teacher": run["teacher"]["quality"]["accuracy"]["mean"], "students": scores}
        mean = found[kind]["mean"]["students"]
        for name in ways:
            if name != "mean":
                ours = found[kind][name]["students"]
                held = judge("accuracy", mean, ours, higher_is_better=True, level=0.95, resolution=1e-4)
                found[kind][name] |= {
                    "word": held.word,
                    "difference": held.difference,
                    "interval": held.interval,
                }
    return found


def specialists(data: str, out: Path, epochs: int) -> dict[str, Any]:
    """A generalist alone, and with specialists for the classes that it confuses."""
    problem = vision.classification(data=data, validation=5000, size=16, train=20_000)
    build = partial(models.resnet8, num_classes=10)
    rows = []
    for seed in range(3):
        where = out / f"seed{seed}"
        general = alone(build, problem, where / "generalist", epochs, SGD, seed=seed, augment=True)
        held = predict(Frozen(general), evaluation_loader(problem.validation), device=CPU)
        groups = confusable_classes(held.logits.softmax(-1), groups=5, size=3)
        special = [
            alone(
                partial(with_dustbin, general, len(group)),
                problem,
                where / f"specialist{number}",
                epochs,
                {"student": ADAM["student"].model_copy(update={"options": {"lr": 1e-3}})},
                seed=seed,
                source=enriched(problem.train, group, seed),
                augment=True,
            )
            for number, group in enumerate(groups)
        ]
        both = Specialists(general, special, groups)
        confused = [kind for group in groups for kind in group]
        rows.append(
            {
                "groups": [[problem.class_names[c] for c in group] for group in groups],
                "generalist": accuracy(Frozen(general), problem.test),
                "with specialists": accuracy(Frozen(both), problem.test),
                "generalist, their classes": accuracy(Frozen(general), problem.test, confused),
                "with specialists, their classes": accuracy(Frozen(both), problem.test, confused),
            }
        )
        print(rows[-1], flush=True)
    before, after = ([row[name] for row in rows] for name in ("generalist", "with specialists"))
    held = judge("accuracy", before, after, higher_is_better=True, level=0.95, resolution=1e-4)
    verdict = {"word": held.word, "difference": held.difference, "interval": held.interval}
    return {"seeds": rows, "verdict": verdict, "deviation": [stdev(before), stdev(after)]}


def alone(
    build: Callable[[], nn.Module],
    problem: Problem,
    where: Path,
    epochs: int,
    optimizers: dict[str, OptimizerSettings],
    *,
    seed: int,
    source: Source | None = None,
    augment: bool = False,
) -> nn.Module:
    """A network trained on labels; one that was trained before is read. Its last weights are kept."""
    settings = TrainSettings(epochs=epochs, batch_size=128, keep="last", validate_every=epochs)
    transform = problem.augment({"jitter": 2, "flip": True}) if augment and problem.augment else None
    stage = Stage(
        lambda networks, _: Alone(networks["student"], [tl.Match(response.HardLabel())]),
        settings,
        optimizers,
        transform,
        Declared(asks="nobody"),
    )
    arm = Arm({"student": build}, [stage], source or problem.train)
    looked_at = Subset(arm.source, range(64))  # nothing is chosen by it: the last weights are kept
    open_problem = Problem(train=arm.source, validation=looked_at, test=None)
    trained = train_arm(
        arm, open_problem, Runtime(quiet=True), where, seed=seed, teacher=None, label=where.name
    )
    return trained.network.eval()


def taught(
    teacher: Teacher,
    problem: Problem,
    out: Path,
    epochs: int,
    *,
    seeds: int | list[int],
    temperature: float,
    control: bool = True,
    test: bool = True,
) -> dict[str, Any]:
    """The results of a run in which a perceptron follows the teacher and the labels."""
    run = tl.distill(
        teacher,
        small,
        whole(problem.train),
        whole(problem.validation),
        test=whole(problem.test) if test else None,
        matches=[tl.Match(response.SoftTarget(temperature=temperature)), tl.Match(response.HardLabel())],
        epochs=epochs,
        batch_size=128,
        optimizer=ADAM["student"],
        seeds=seeds,
        control=control,
        keep="last",
        out=out,
        resume=out.exists(),
        quiet=True,
    )
    return run.results


def tuned(teacher: Teacher, problem: Problem, out: Path, epochs: int, temperature: float) -> float:
    """The validation accuracy at a temperature, with a seed that no result uses."""
    run = taught(
        teacher, problem, out, epochs, seeds=[1000], temperature=temperature, control=False, test=False
    )
    return float(run["student"]["quality"]["accuracy"]["mean"])


def small() -> nn.Module:
    """A perceptron of 32 units."""
    return models.mlp(in_features=784, num_classes=10, widths=[32])


def with_dustbin(general: nn.Module, count: int) -> nn.Module:
    """A specialist that starts from the generalist, with a head of its own."""
    network = models.resnet8(num_classes=10)
    network.load_state_dict(general.state_dict())
    network.head = nn.Linear(network.head.in_features, count + 1)
    return network


def whole(source: Source | None) -> tuple[Tensor, Tensor]:
    """All inputs and labels of a source."""
    assert source is not None
    batch = source.batch(range(len(source)))
    assert batch.labels is not None
    return batch.inputs, batch.labels


def relabelled(source: Source, change: Callable[[Tensor], Tensor]) -> Source:
    """The same examples under other labels."""
    inputs, labels = whole(source)
    return Examples(inputs, change(labels))


def at_random(labels: Tensor) -> Tensor:
    """Any of the ten for the digits 0 to 4."""
    drawn = torch.randint(10, labels.shape, generator=torch.Generator().manual_seed(0))
    return torch.where(labels < 5, drawn, labels)


def each_the_next(labels: Tensor) -> Tensor:
    """1 for 0, 2 for 1 … and 0 for 4."""
    return torch.where(labels < 5, (labels + 1) % 5, labels)


def enriched(source: Source, group: Sequence[int], seed: int) -> Source:
    """Half examples of the group, half a random draw of the others, labelled for a specialist."""
    inputs, labels = whole(source)
    mine = torch.isin(labels, torch.tensor(group))
    others = (~mine).nonzero().flatten()
    drawn = others[
        torch.randperm(len(others), generator=torch.Generator().manual_seed(seed))[: int(mine.sum())]
    ]
    chosen = torch.cat([mine.nonzero().flatten(), drawn])
    return Examples(inputs[chosen], specialist_labels(labels[chosen], group))


def accuracy(teacher: Teacher, source: Source | None, classes: Sequence[int] | None = None) -> float:
    """The share of right first choices, over all examples or those of some classes."""
    assert source is not None
    held = predict(teacher, evaluation_loader(source), device=CPU)
    kept = torch.ones_like(held.labels, dtype=torch.bool)
    if classes is not None:
        kept = torch.isin(held.labels, torch.tensor(list(classes)))
    return fmean((held.logits.argmax(-1) == held.labels)[kept].tolist())


def vars_of(record: Any) -> dict[str, float]:
    """The fields of a record with slots."""
    return {name: getattr(record, name) for name in record.__slots__}


if __name__ == "__main__":
    main()
