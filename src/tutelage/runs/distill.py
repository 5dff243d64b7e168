"""Distil in one call, from modules and data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from tutelage.engine import OptimizerSettings
from tutelage.errors import Interrupted
from tutelage.losses import Loss
from tutelage.match import Match
from tutelage.modes import returned_as_it_was
from tutelage.runs.arguments import on_cpu, read_callbacks
from tutelage.runs.call import call_of
from tutelage.runs.run import Run, run
from tutelage.runs.study_of import Wanted, networks_of, study_of

__all__ = ["distill"]


def distill(
    teacher: Any,
    student: nn.Module | Callable[..., nn.Module],
    train: Any,
    validation: Any = None,
    *,
    test: Any = None,
    target: str | Sequence[str] | None = None,
    preprocessing: Any = None,
    matches: Match | Loss | Sequence[Match | Loss] | None = None,
    temperature: float | None = None,
    label_weight: float | None = None,
    classes: Sequence[int] | None = None,
    class_weights: Sequence[float] | str | None = None,
    example_weights: Sequence[float] | None = None,
    metric: Any = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    optimizer: OptimizerSettings | Mapping[str, Any] | str | None = None,
    lr: float | None = None,
    seeds: int | Sequence[int] = 3,
    control: bool = True,
    placebo: bool | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    device: str | None = None,
    trackers: Sequence[str] = (),
    callbacks: Callable[[Mapping[str, Any]], object] | Sequence[Callable[[Mapping[str, Any]], object]] = (),
    quiet: bool = False,
    **training: Any,
) -> Run:
    """Teach `student` by `teacher`, compare it with itself trained alone, and report.

    Args:
        teacher: a trained network, several of them (an ensemble), anything with `predict_proba`, a regressor
            (`predict`), a booster of XGBoost or LightGBM, or a `tutelage.teachers.Teacher`. Networks are not
            copied; they come back as they were. Of frames, networks read the encoded rows, all others the raw
            ones.
        student: the network to teach, or a function that builds one. A network is copied and each seed
            starts from its weights; a function gives each seed an initialisation of its own. The network that
            comes in is not changed. Of frames a function may take the number of encoded columns.
        train: a DataLoader, a map-style data set, a tuple of tensors or arrays (inputs, labels), a frame of
            pandas or polars with `target`, or a tuple of a frame and labels.
        validation: likewise; chooses the weights to keep. A tenth of `train` by default.
        test: likewise; read once, at the end. Without it results are those of the validation split.
        target: the column of a frame that holds the labels; several, where they are numbers.
        preprocessing: a transformer of scikit-learn in place of the usual one, see
            `tutelage.data.frames.Encoding`, for frames. It is fitted on the training rows unless it is
            already.
        matches: the terms that the student minimises, losses on logits among them; by default, each with
            weight 1, soft targets at temperature 2 and labels; for several labels `BinarySoftTarget` and
            `BinaryLabel`, for numbers `BoundedRegression` and `ValueLabel`.
        temperature: of the soft targets, where `matches` is not given.
        label_weight: multiplies what is learnt from labels, where `matches` is not given; 1 by default.
        classes: of a teacher of more classes than the student, the teacher's class of each of the student's
            own, where `matches` is not given.
        class_weights: how often examples of each class are drawn in training, in proportion, for student and
            control alike; "balanced" for as if all classes had as many examples.
        example_weights: likewise, a number for each example of `train`.
        metric: what the verdict is about: one of the exam's own numbers by name ("rmse", "macro_f1"), a
            metric of torchmetrics, a function (outputs, labels) -> number, or a `tutelage.Metric` of it. By
            default it follows the labels: accuracy of classes, mean average precision of several labels, mean
            squared error of numbers, agreement with the teacher where there are none.
        epochs: passes over `train`, for student and control alike; by default as many as make some 3,000
            steps, from 10 to 400. Or give `steps`.
        batch_size: examples in a step; the DataLoader's, or 128.
        optimizer: `name`, or `{name: {option: value}}`, for student and control; AdamW by default, and with a
            name alone a cosine schedule. A rate that is left out is one that suits the optimiser.
        lr: the learning rate.
        seeds: how many, or which; nothing is judged below three. With `resume` and more of them, a finished
            run is gone on with.
        control: train the student alone too: the same training with the teacher's terms taken out, on the
            examples that have a label. Without it nothing can be shown.
        placebo: train it also by a teacher that only repeats the labels, to tell what the teacher knows from
            what the recipe does; by default where that costs less than a third of the run.
        out: the run's folder; `runs/distill` or the next free one by default, and with `resume` the newest
            that was not finished.
        resume: go on with a run that was stopped.
        device: "cpu", though there is an accelerator; else the one that Accelerate finds.
        trackers: where numbers are logged too: "tensorboard", "wandb" and others that Accelerate knows.
        callbacks: a function, or several, called with each line of the history as it is written: `label`,
            `step`, `epoch`, and `terms` or `validation`. What one raises ends the run, which can be resumed.
        quiet: show no progress.
        training: further fields of `TrainSettings`: patience, precision, accumulate, clip, average, keep …

    Returns:
        the run: `.verdict`, `.student`, `.report`, `.results`, `.out`; of several processes to each.

    Raises:
        DataError, ModelError, OutputError, RecipeError, UnknownName: see `tutelage.errors`.
        Interrupted: a stop was asked for (Ctrl-C), and a checkpoint written.
    """
    given = dict(locals())
    cpu = on_cpu(device)
    with returned_as_it_was(*networks_of(teacher)):
        wanted = Wanted.of(
            teacher=teacher,
            student=student,
            train=train,
            validation=validation,
            test=test,
            target=target,
            preprocessing=preprocessing,
            matches=matches,
            temperature=temperature,
            label_weight=label_weight,
            classes=classes,
            class_weights=class_weights,
            example_weights=example_weights,
            metric=metric,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            lr=lr,
            seeds=seeds,
            control=control,
            placebo=placebo,
            **training,
        )
        study = study_of(wanted)
        study = replace(study, again=call_of(distill, given, name="tutelage.distill"))
        where = Path(out) if out else None
        called = read_callbacks(callbacks)
        try:
            return run(study, where, resume=resume, quiet=quiet, cpu=cpu, trackers=trackers, callbacks=called)
        except Interrupted as stop:  # without the many lines of where it was just then
            again = f"go on with the same call and out={str(stop.folder)!r}, resume=True"
            raise Interrupted(f"{stop}; {again}", folder=stop.folder) from None
