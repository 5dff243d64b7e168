"""Make a trained network smaller without training it, and say at each step what that cost."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from tutelage.compression import changes as known_changes
from tutelage.compression import is_settled, settle, settled_records
from tutelage.engine import Runtime, StopRequest, save_weights
from tutelage.errors import ModelError, RecipeError, UnknownName
from tutelage.files import write_json
from tutelage.locks import owned
from tutelage.modes import returned_as_it_was
from tutelage.runs.arguments import on_cpu, read_student
from tutelage.runs.folder import RunFolder, free_folder
from tutelage.runs.study_of import Wanted, study_of
from tutelage.runs.way import way_of
from tutelage.studies import Arm, Change, Outcome, Study
from tutelage.tasks.problem import Problem
from tutelage.training import Trained, train_arm
from tutelage.training.networks import write_beside

__all__ = ["Compressed", "Wish", "compress", "compress_network", "read_changes"]

Wish = str | Mapping[str, Any]
"""A change by its name, `{name: settings}`, or that with `tolerance` and `keep` beside."""


@dataclass(frozen=True)
class Compressed:
    """A network made smaller.

    Args:
        network: what came of it, in eval mode.
        way: each stop, from the network as it came: `name`, `quality`, `cost`, `difference` …
        out: the folder of its weights and of what rebuilds it.
        metric: what its quality is.
    """

    network: nn.Module
    way: Sequence[Mapping[str, Any]]
    out: Path
    metric: str = field(default="")

    def __repr__(self) -> str:
        """First and last stop."""
        first, last = self.way[0], self.way[-1]
        quality = [stop["quality"][self.metric]["mean"] for stop in (first, last)]
        sizes = [stop["cost"]["bytes"] for stop in (first, last)]
        change = f"{self.metric} {quality[0]:.4g} → {quality[1]:.4g}, {sizes[0]:,} → {sizes[1]:,} bytes"
        return f"Compressed({change}; {self.out})"


def compress(
    network: nn.Module,
    train: Any,
    validation: Any = None,
    *,
    changes: Wish | Sequence[Wish],
    test: Any = None,
    metric: Any = None,
    out: str | Path | None = None,
    device: str | None = None,
    quiet: bool = False,
) -> Compressed:
    """Change a trained network step by step, measured after each; to train between steps write a recipe.

    Args:
        network: the trained one; it is copied.
        train: data to calibrate by, as `tutelage.distill` takes it.
        validation: by which a `tolerance` is judged; a tenth of `train` by default.
        changes: one or several, such as `{"prune": {"share": 0.3}, "tolerance": 0.01}` or `"quantise"`; see
            `tutelage list changes`.
        test: what the way is measured on; `validation` by default.
        metric: as `distill` takes it.
        out: the folder; `runs/compress` or the next free one by default.
        device: "cpu", though there is an accelerator.
        quiet: show no progress.

    Raises:
        UnknownName, RecipeError: a change or a setting that is not there.
        ModelError: a network that cannot be changed so.
        OutputError: the folder is taken.

    Example:
        >>> small = compress(network, train, changes={"prune": {"share": 0.3}})  # doctest: +SKIP
        >>> small.network, small.way[-1]["cost"]["bytes"]  # doctest: +SKIP
    """
    if not isinstance(network, nn.Module):
        raise ModelError(f"the network came as a {type(network).__name__}; expected a trained nn.Module")
    with returned_as_it_was(network):
        wanted = Wanted.of(
            teacher=network,
            student=network,
            train=train,
            validation=validation,
            test=test,
            metric=metric,
            control=False,
            epochs=1,
        )
        problem = study_of(wanted).problem
        build = read_student(network)
        where = Path(out) if out else None
        return compress_network(
            build(), problem, read_changes(changes), where, cpu=on_cpu(device), quiet=quiet
        )


def read_changes(came: Wish | Sequence[Wish]) -> list[Change]:
    """Changes as a user writes them.

    Raises:
        UnknownName: a change, or a key beside one, that is not there.
        RecipeError: settings that a change refuses, or none at all.
    """
    wishes = [came] if isinstance(came, str | Mapping) else list(came)
    if not wishes:
        raise RecipeError(f"changes came empty; expected one or several of {', '.join(known_changes)}")
    return [_change(wish) for wish in wishes]


def compress_network(
    network: nn.Module,
    problem: Problem,
    changes: Sequence[Change],
    out: Path | None,
    *,
    about: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
    cpu: bool = False,
    quiet: bool = False,
) -> Compressed:
    """Change a network of a problem step by step.

    Args:
        network: it is changed.
        problem: data and exam.
        changes: in order.
        out: the folder; a free one where it is None.
        about: what lies beside the weights of the network as it came.
        files: texts to write into the folder, by name, such as the recipe that rebuilds it.
        cpu: stay on the CPU.
        quiet: show no progress.

    Raises:
        ModelError: a network that cannot be changed so.
        OutputError: the folder is taken.
    """
    with StopRequest() as stop, ExitStack() as held:
        runtime = Runtime(cpu=cpu, quiet=quiet, stop=stop)
        where = runtime.share(free_folder("compress") if out is None else out)
        record = [{one.name: dict(one.settings)} for one in changes]
        if runtime.is_main:
            held.enter_context(owned(where, doing="a compression"))
        folder = RunFolder(where, {"name": "compress", "seeds": [0], "recipe": record}, resume=False)
        done, way = _walked(network, problem, changes, folder, runtime)
    made, beside = _handed_over(done, dict(about or {}))
    save_weights(where / "student.safetensors", made)
    write_beside(made, problem, where, beside)
    texts = {"recipe.yaml": yaml.safe_dump({"call": "tutelage.compress"})} | dict(files or {})
    for name, text in texts.items():
        folder.write(name, text)
    results = {"recipe": "compress", "metric": problem.metric, "way": way, "primary": "student"}
    write_json(where / "results.json", results)
    folder.write_sums()
    return Compressed(made, way, where, problem.metric)


def _walked(
    network: nn.Module, problem: Problem, changes: Sequence[Change], folder: RunFolder, runtime: Runtime
) -> tuple[Trained, list[dict[str, Any]]]:
    """Take the network through the changes, and measure it as it came and after each."""
    arm = Arm({"student": lambda: network}, list(changes), problem.train)
    arms = {"came": replace(arm, networks={"student": _copy_of(network)}, stages=[]), "student": arm}
    stops = {"0 as it came": Outcome("came")}
    stops |= {f"{n + 1} {one.name}": Outcome("student", stage=n) for n, one in enumerate(changes)}
    study = Study("compress", problem, None, arms, {"student": Outcome("student")}, seeds=[0], way=stops)
    kept = {("student", number) for number in range(len(changes))}
    trained = {}
    for name, one in arms.items():
        where = folder.arm(name, 0)
        trained[name] = [train_arm(one, problem, runtime, where, seed=0, teacher=None, label=name, keep=kept)]
    return trained["student"][0], way_of(study, trained, runtime.device)


def _handed_over(done: Trained, before: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """The network with plain weights, and what lies beside them: all that was ever done to it."""
    made, beside = done.network.eval(), dict(done.about["student"])
    steps = [*before.get("done", []), *beside["done"]]
    if not is_settled(made):
        made = settle(copy.deepcopy(made))
        steps = settled_records(steps)
    shapes = {key: list(held.shape) for key, held in made.state_dict().items()}
    beside |= {"done": steps, "shapes": shapes, "view": None}
    beside |= {"network": before.get("network", "student")}
    return made, beside | {key: before[key] for key in ("built_by",) if key in before}


def _copy_of(network: nn.Module) -> Any:
    kept = copy.deepcopy(network)
    return lambda: kept


def _change(wish: Wish) -> Change:
    held = {wish: {}} if isinstance(wish, str) else dict(wish)
    beside = {key: held.pop(key) for key in ("tolerance", "keep") if key in held}
    if len(held) != 1:
        raise RecipeError(
            f"a change came as {wish!r}; expected its name, or {{name: settings}} with tolerance and keep "
            "beside"
        )
    ((name, settings),) = held.items()
    if name not in known_changes:
        raise UnknownName("change", str(name), known_changes)
    settings = dict(settings or {})
    try:
        changer = known_changes[name](**settings)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{name} refused {json.dumps(settings, default=str)}: {error}") from error
    return Change(str(name), changer, settings=settings, **beside)
