"""Train one arm with one seed: stage by stage, resumable at each step."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tutelage.compression import Calibration
from tutelage.data import Source
from tutelage.engine import (
    Fitted,
    Runtime,
    fit,
    history_digest,
    load_weights,
    read_history,
    save_weights,
)
from tutelage.errors import CheckpointError, NonFiniteLoss
from tutelage.files import read_json, write_json
from tutelage.studies import Arm, Change, Stage
from tutelage.tasks.problem import Problem
from tutelage.threads import threads
from tutelage.training.changing import Step, make_change
from tutelage.training.inputs import explain
from tutelage.training.made import read_made, write_made
from tutelage.training.networks import describe_network
from tutelage.training.stage import Ready, evaluation_loader, validations_of
from tutelage.training.thread_choice import threads_of
from tutelage.training.untrained import warn_of_untrained
from tutelage.training.walk import Asked, State, walk

__all__ = ["Trained", "train_arm"]


@dataclass(frozen=True)
class Trained:
    """What one arm came to with one seed.

    Args:
        networks: by name, after the last stage, with the weights that were kept.
        after: by network and stage, those that an outcome asked for before the last stage.
        steps: updates of each stage.
        seconds: of training, of each stage.
        validation: by network, the metric by which its last weights were kept; missing where there was none.
        about: by network, what built it and what was done to it.
        about_after: by network and stage, the same of those in `after`.
        changes: by stage and network, what changes were worth, where that was measured.
        failed: why the training broke off; None where it did not.
    """

    networks: Mapping[str, nn.Module]
    after: Mapping[tuple[str, int], nn.Module] = field(default_factory=dict)
    steps: Mapping[int, int] = field(default_factory=dict)
    seconds: Mapping[int, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    about_after: Mapping[tuple[str, int], Any] = field(default_factory=dict)
    changes: Mapping[tuple[int, str], Mapping[str, Any]] = field(default_factory=dict)
    failed: str | None = None

    @property
    def network(self) -> nn.Module:
        """The first network."""
        return next(iter(self.networks.values()))

    def of(self, network: str, stage: int | None = None) -> nn.Module:
        """A network, as the last stage or an earlier one left it."""
        return self.networks[network] if stage is None else self.after[network, stage]

    def told_of(self, network: str, stage: int | None = None) -> dict[str, Any]:
        """What lies beside the weights of a network, as the last stage or an earlier one left it."""
        held = self.about.get(network) if stage is None else self.about_after.get((network, stage))
        return dict(held or {})

    def steps_until(self, stage: int | None = None) -> int:
        """Updates up to a stage and with it, or of all."""
        return sum(count for number, count in self.steps.items() if stage is None or number <= stage)

    def seconds_until(self, stage: int | None = None) -> float:
        """Seconds of training up to a stage and with it, or of all."""
        return sum(each for number, each in self.seconds.items() if stage is None or number <= stage)


def train_arm(
    arm: Arm,
    problem: Problem,
    runtime: Runtime,
    folder: Path,
    *,
    seed: int,
    teacher: Asked | None,
    label: str,
    keep: Collection[tuple[str, int]] = (),
) -> Trained:
    """Train one arm, or take up what is left of it; a finished one is only read.

    Args:
        arm: what to train.
        problem: data and exam.
        runtime: where.
        folder: its files: those of the stages, and `<network>.safetensors` with `<network>.json` beside each;
            `trained.json` says that it is done.
        seed: of initialisation, data order and dropout.
        teacher: stage -> its teacher, or that for corrections where the stage is None; None for an arm
            without a teacher.
        label: what to call it in progress.
        keep: networks and stages before the last whose weights of then are wanted.

    Raises:
        CheckpointError: what is left of it is damaged; it can be made again.
    """
    try:
        return _train_arm(arm, problem, runtime, folder, seed, teacher, label, keep)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}. What was trained there can be made again, and comes out the same: delete the folder "
            f"{folder}, and go on with --resume (resume=True)"
        ) from error


def _train_arm(
    arm: Arm,
    problem: Problem,
    runtime: Runtime,
    folder: Path,
    seed: int,
    teacher: Asked | None,
    label: str,
    keep: Collection[tuple[str, int]],
) -> Trained:
    work = _Work(arm, problem, runtime, folder, label, set(keep))
    done = runtime.share((folder / "trained.json").exists())
    try:
        state = walk(arm, problem, runtime, work, seed=seed, teacher=teacher)
    except NonFiniteLoss as error:
        if runtime.world > 1:
            raise
        explain(arm.networks, arm.source, problem.reads, runtime.device)
        return _failed(folder, str(error))
    if arm.correction is not None and not done:
        first = next(iter(state.networks.values()))
        inputs = evaluation_loader(problem.validation)
        arm.correction(first, teacher(None) if teacher else None, inputs, runtime.device)
    work.close(state, done)
    if not done and runtime.is_main:
        for name in dict.fromkeys(stage.student for _, stage in arm.trainings):
            own = [(number, stage) for number, stage in arm.trainings if stage.student == name]
            names = [name, *(other for other in state.networks if other not in ("student", name))]
            untouched = [
                [_in_arm(key, stage) for key in work.fitted[number].untouched] for number, stage in own
            ]
            warn_of_untrained(untouched, names, label)
    return Trained(
        state.networks,
        work.after,
        {number: fitted.steps for number, fitted in work.fitted.items()},
        {number: fitted.seconds for number, fitted in work.fitted.items()},
        work.validation,
        {name: work.about(name, state) for name in state.networks},
        work.about_after,
        work.changes,
    )


def _in_arm(key: str, stage: Stage) -> str:
    """A parameter's path by the name that its network has in the arm."""
    network, dot, path = key.partition(".")
    return stage.named(network) + dot + path


def _failed(folder: Path, why: str) -> Trained:
    """Note that a seed broke off; it is not tried again, and is counted against the arm."""
    write_json(folder / "failed.json", {"why": why})
    return Trained({}, failed=why)


class _Work:
    """What is done at each stage of a walk that trains: fit, and keep what came of it."""

    def __init__(
        self,
        arm: Arm,
        problem: Problem,
        runtime: Runtime,
        folder: Path,
        label: str,
        keep: set[tuple[str, int]],
    ) -> None:
        self.arm, self.problem, self.runtime = arm, problem, runtime
        self.folder, self.label, self.keep = folder, label, keep
        self.fitted: dict[int, Fitted] = {}
        self.validation: dict[str, float] = {}
        self.after: dict[tuple[str, int], nn.Module] = {}
        self.about_after: dict[tuple[str, int], dict[str, Any]] = {}
        self.changes: dict[tuple[int, str], Mapping[str, Any]] = {}

    def finished(self, number: int, state: State) -> bool:
        """Whether a stage is done; its weights, and what it made, are then taken up."""
        failed = self.folder / "failed.json"
        if self.runtime.share(failed.exists()):
            raise NonFiniteLoss(read_json(failed)["why"])
        done = self._of(number) / "fitted.json"
        if not self.runtime.share(done.exists()):
            return False
        for name, network in state.networks.items():
            load_weights(self._of(number) / f"{name}.safetensors", network)
        state.made = read_made(self._of(number))
        held = read_json(done)
        self._check_history(number, held.pop("history_sha256", None))
        self._note(number, Fitted(**held, history=[]))
        return True

    def _check_history(self, number: int, noted: str | None) -> None:
        file = self._of(number) / "history.jsonl"
        if noted is not None and history_digest(read_history(file)) != noted:
            raise CheckpointError(f"{file} is damaged: its lines are not those that were written")

    def train(self, ready: Ready) -> Source | None:
        """Fit a stage; what it made lies beside its weights, where the next one finds it."""
        folder, scheme = self._of(ready.number), ready.scheme
        count = threads_of(ready, self.runtime, folder)
        with threads(count):
            fitted = fit(
                scheme.turns(),
                scheme.modules,
                ready.loader,
                ready.stage.settings,
                optimizers=ready.stage.optimizers,
                runtime=self.runtime,
                validation=validations_of(
                    ready.stage, ready.networks, scheme.modules, self.problem, self.runtime
                ),
                folder=folder,
                label=self._label(ready.number, count),
            )
        self._note(ready.number, fitted)
        made = scheme.made()
        if made is not None:
            if self.runtime.is_main:
                write_made(made, folder)
            self.runtime.wait()
            made = read_made(folder)
        return made

    def changed(
        self, number: int, change: Change, network: str, net: nn.Module, calibration: Calibration
    ) -> Step:
        """Change a network, or do again what was done to it."""
        file = self._of(number) / f"{network}.json"
        weights = file.with_suffix(".safetensors")
        if self.runtime.share(file.exists()):
            held = read_json(file)
            done, about = held.get("done", held), held.get("about", {})
            if "undone" not in about:
                net = change.changer.replay(net, done)
            load_weights(weights, net)
            step = Step(net, done, about)
        else:
            problem = self.arm.problem or self.problem
            step = make_change(change, network, net, calibration, problem, self.runtime)
            if self.runtime.is_main:
                save_weights(weights, step.network)
                write_json(file, {"done": dict(step.done), "about": dict(step.about)})
            self.runtime.wait()
        self.changes[number, network] = step.about
        return step

    def left(self, number: int, state: State) -> None:
        """Keep what a stage left, on the disk and for those who ask for it."""
        done = self._of(number) / "fitted.json"
        if number in self.fitted and not self.runtime.share(done.exists()):
            if self.runtime.is_main:
                for name, network in state.networks.items():
                    save_weights(self._of(number) / f"{name}.safetensors", network)
                    write_json(self._of(number) / f"{name}.json", self.about(name, state))
                fitted = self.fitted[number]
                kept: dict[str, Any] = {"steps": fitted.steps, "seconds": fitted.seconds, "best": fitted.best}
                kept |= {"chosen": fitted.chosen, "untouched": fitted.untouched}
                noted = history_digest(read_history(self._of(number) / "history.jsonl"))
                write_json(done, kept | {"history_sha256": noted})
            self.runtime.wait()
        for name, stage in self.keep:
            if stage == number and number < len(self.arm.stages) - 1:
                self.after[name, stage] = copy.deepcopy(state.networks[name])
                self.about_after[name, stage] = self.about(name, state)

    def close(self, state: State, done: bool) -> None:
        """Keep, or take up, the networks after everything."""
        for name, network in state.networks.items():
            if done:
                load_weights(self.folder / f"{name}.safetensors", network)
            elif self.runtime.is_main:
                save_weights(self.folder / f"{name}.safetensors", network)
                write_json(self.folder / f"{name}.json", self.about(name, state))
        for name, stage in self.keep:
            if stage == len(self.arm.stages) - 1:
                self.after[name, stage] = state.networks[name]
                self.about_after[name, stage] = self.about(name, state)
        if self.runtime.is_main and not done:
            fitted = list(self.fitted.values())
            record = {
                "steps": sum(one.steps for one in fitted),
                "seconds": sum(one.seconds for one in fitted),
            }
            write_json(self.folder / "trained.json", record | {"validation": self.validation})
        self.runtime.wait()

    def about(self, name: str, state: State) -> dict[str, Any]:
        """What lies beside the weights of a network."""
        return describe_network(
            state.networks[name], built_by=self.arm.built_by.get(name), done=state.done.get(name, [])
        )

    def _label(self, number: int, count: int) -> str:
        """What to call a stage in progress, with its threads where those were chosen."""
        several = len(list(self.arm.trainings)) > 1
        said = f"{self.label}, stage {number + 1}" if several else self.label
        return said if count == torch.get_num_threads() else f"{said}, on {count} thread"

    def _note(self, number: int, fitted: Fitted) -> None:
        self.fitted[number] = fitted
        stage = self.arm.stages[number]
        assert isinstance(stage, Stage)
        for name, best in fitted.chosen.items():
            if best:
                self.validation[stage.named(name)] = best["value"]

    def _of(self, number: int) -> Path:
        return self.folder / f"stage{number}"
