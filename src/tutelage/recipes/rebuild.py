"""The student of a finished run, built again."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError, safe_open
from torch import nn

from tutelage.data.frames import Encoding
from tutelage.engine import load_weights, seeded
from tutelage.errors import CheckpointError, ModelError, OutputError, RecipeError, UnknownName, first_line
from tutelage.files import read_json
from tutelage.recipes.build import student_of, view_of
from tutelage.recipes.load import load as load_recipe
from tutelage.recipes.load import name_of
from tutelage.recipes.parts import changer_of
from tutelage.runs import Run
from tutelage.runs.arguments import read_student
from tutelage.runs.folder import check_sum, read_run
from tutelage.runs.frames import with_width
from tutelage.tasks.networks import MeanOfNetworks
from tutelage.tasks.problem import Problem
from tutelage.training.networks import materialise, replay_changes
from tutelage.trust import read_yaml, trusting

__all__ = ["Rebuilt", "load", "rebuild"]


@dataclass(frozen=True)
class Rebuilt:
    """A student with its weights.

    Args:
        recipe: the recipe's name.
        problem: data and metrics.
        network: the student.
        weights: the file that its weights come from.
        about: what lies beside its weights; empty where nothing does.
    """

    recipe: str
    problem: Problem
    network: nn.Module
    weights: Path
    about: Mapping[str, Any]

    @property
    def role(self) -> str:
        """The name of the network in its arm."""
        return str(self.about.get("network", "student"))

    @property
    def reads(self) -> Sequence[str] | None:
        """The inputs that the network reads; None for all."""
        return self.problem.reads.get(self.role)


def load(
    run: Run | str | Path,
    network: nn.Module | Callable[..., nn.Module] | None = None,
    *,
    outcome: str | None = None,
    trust: Sequence[str] = (),
) -> nn.Module:
    """The student of a finished run, with its weights, in eval mode.

    Args:
        run: what `distill` returned, or the folder of a run, or one that `Run.save` wrote.
        network: the student's network, or a function that builds it, of a run of `distill`, whose folder has
            no code; it is copied. Of a run on frames the function may take the number of encoded columns. A
            run of a recipe builds its own, and a `Run` itself has it.
        outcome: whose weights, of a run with several outcomes; the primary one's by default.
        trust: modules outside tutelage that the run's recipe may name, `package.module`.

    Raises:
        OutputError: the folder is not that of a finished run, or the code of the student is not in it.
        CheckpointError: the weights are truncated, unsafe or another network's.
        UnknownName: the run has no such outcome.

    Example:
        >>> student = load("runs/vision-digits")  # doctest: +SKIP
        >>> student = load("runs/distill", Net())  # doctest: +SKIP
    """
    with trusting(trust):
        if network is None and isinstance(run, Run):
            return copy.deepcopy(run.students[outcome or str(run.results["primary"])]).eval()
        return _load(run.out if isinstance(run, Run) else Path(run), network, outcome)


def _load(
    folder: Path, network: nn.Module | Callable[..., nn.Module] | None, outcome: str | None
) -> nn.Module:
    weights = _weights_of(folder, outcome)
    if network is None:
        return rebuild(str(folder), weights=weights).network.eval()
    made, about = read_student(with_width(network, partial(_width_of, folder)))(), _about(weights)
    if isinstance(network, nn.Module):
        made = copy.deepcopy(made)
    _check_safetensors(weights)
    for name in materialise(made, about.get("shapes") or {}):
        raise CheckpointError(
            f"the network ({type(made).__name__}) has a lazy layer of which {weights} holds no {name}; give "
            "the student's network as it came to distill"
        )
    try:
        made = replay_changes(made, about, changer_of)
    except CheckpointError as error:
        raise CheckpointError(_other_network(made, about, weights)) from error
    load_weights(weights, made)
    return made.eval()


def _width_of(folder: Path) -> int:
    """The number of encoded columns of a run on a frame.

    Raises:
        ModelError: the run was on no frame, or kept no preprocessing.
    """
    try:
        width = Encoding.load(folder).width
    except CheckpointError as error:
        raise ModelError(
            f"the network's function takes an argument, such as the number of encoded columns, and "
            f"{first_line(error)}; give a function without arguments, or the network"
        ) from error
    if width is None:
        raise ModelError(
            f"{folder} does not say how many encoded columns its student reads; give a function without "
            "arguments, or the network"
        )
    return width


def _other_network(made: nn.Module, about: Mapping[str, Any], weights: Path) -> str:
    """What is said of a network that is not the one whose weights lie there."""
    wanted = about.get("shapes") or {}
    own = {name: list(value.shape) for name, value in made.state_dict().items()}
    name = next((one for one in own if wanted.get(one) != own[one]), None)
    name = next(one for one in wanted if one not in own) if name is None else name
    there = [f"{held}" if held is not None else "none" for held in (own.get(name), wanted.get(name))]
    was = str(about.get("class", "")).rpartition(".")[2] or "another network"
    return (
        f"the network ({type(made).__name__}) is not the one that was trained: its {name} is {there[0]}, "
        f"and in {weights} {there[1]}, of a {was}; give the student's network as it came to distill"
    )


def _weights_of(folder: Path, outcome: str | None) -> Path:
    results = read_run(folder, "results.json")
    names = list(results.get("outcomes", {}))
    if outcome is None or outcome == results.get("primary"):
        return folder / "student.safetensors"
    if outcome not in names:
        raise UnknownName("outcome of this run", outcome, names)
    return folder / "outcomes" / outcome / "student.safetensors"


def rebuild(came: str, *, changes: Sequence[str] = (), weights: Path | None = None) -> Rebuilt:
    """A student from the folder of a run, or from a recipe and a file of weights.

    Args:
        came: the folder, or the recipe.
        changes: values to set in the recipe.
        weights: a safetensors file, instead of the run's.

    Raises:
        OutputError: the folder is not that of a finished run.
        CheckpointError: the weights are truncated, unsafe or another network's.
    """
    if Path(came).is_dir():
        name = str(read_run(Path(came), "run.json").get("name", ""))
        source, weights = str(Path(came) / "recipe.yaml"), weights or Path(came) / "student.safetensors"
        check_sum(Path(came), "recipe.yaml")
        _check_recipe(Path(source))
    elif weights is None:
        raise RecipeError(f"{came} is no folder of a run; for a recipe, say which --weights to load")
    else:
        name, source = name_of(came), came
    _check_safetensors(weights)
    about = _about(weights)
    recipe, view = load_recipe(source, changes=changes), about.get("view")
    networks = []
    for one in about.get("members", [about]):
        built_by = None if changes else one.get("built_by")
        problem, build = student_of(recipe, one.get("network", "student"), built_by)
        with seeded(0):
            fresh = build()
        part = view is not None or len(about.get("members", [])) > 0
        networks.append(replay_changes(fresh, one | ({"shapes": None} if part else {}), changer_of))
    network = MeanOfNetworks(networks) if "members" in about else networks[0]
    if view is not None:
        network = view_of(recipe, view)(network)
    load_weights(weights, network)
    return Rebuilt(name, problem, network, weights, about)


def _about(weights: Path) -> dict[str, Any]:
    """What lies beside a file of weights; nothing beside those of earlier versions."""
    for beside in (weights.with_name("network.json"), weights.with_suffix(".json")):
        if beside.is_file():
            return dict(read_json(beside))
    return {}


def _check_recipe(path: Path) -> None:
    try:
        held = read_yaml(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); run the recipe again") from error
    if isinstance(held, dict) and "call" in held:
        raise OutputError(
            f"{path.parent} was written by {held['call']}, and the code of its student is not in it; give "
            f"the network in Python: student = tutelage.load({str(path.parent)!r}, Net()). To write it in "
            "another format: tutelage.export.export(student, inputs, 'student.onnx', format='onnx')"
        )


def _check_safetensors(path: Path) -> None:
    """Refuse everything but whole safetensors files before anything else is made of them."""
    if not path.is_file():
        raise CheckpointError(f"no file of weights at {path}; expected a safetensors file")
    try:
        with safe_open(path, framework="pt"):
            return
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is truncated, or no safetensors file ({error}); pickles are not read, as they can run "
            "code. Write weights with safetensors.torch.save_file(model.state_dict(), path)"
        ) from error
