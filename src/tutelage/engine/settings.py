"""What a user may choose about training; plain data, checked when it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

__all__ = ["OptimizerSettings", "TrainSettings", "complaints", "name_and_settings"]


def name_and_settings(came: Any) -> tuple[str, dict[str, Any]]:
    """Read a name and its settings, written `{name: {setting: value}}`, or `name` alone.

    Raises:
        ValueError: something else came.

    Example:
        >>> name_and_settings({"adamw": {"lr": 0.001}})
        ('adamw', {'lr': 0.001})
        >>> name_and_settings("adamw")
        ('adamw', {})
    """
    if isinstance(came, str):
        return came, {}
    if isinstance(came, Mapping) and len(came) == 1:
        ((name, settings),) = came.items()
        if settings is None or isinstance(settings, Mapping):
            return str(name), dict(settings or {})
    raise ValueError(
        f"came {came!r}; expected a name, or one name with its settings: {{name: {{key: value}}}}"
    )


def complaints(error: ValidationError) -> str:
    """What pydantic found, in one line: where, and what was expected."""
    return "; ".join(_complaints(error))


def _complaints(error: ValidationError) -> Iterable[str]:
    for each in error.errors():
        place = ".".join(str(part) for part in each["loc"])
        yield f"{place}: {each['msg'].removeprefix('Value error, ')}".removeprefix(": ")


class OptimizerSettings(BaseModel):
    """An optimiser and its schedule, by their names in torch.

    Args:
        name: a class of `torch.optim`, in any case: `sgd`, `adamw`.
        options: its keyword arguments: `lr`, `momentum`, `weight_decay` …
        schedule: a class of `torch.optim.lr_scheduler`, stepped once an update, or None.
        schedule_options: its keyword arguments; lengths that are left out become the length of the run. One
            is written as updates (`2000`), with its unit (`"30 epochs"`, `"30 steps"`), or as a share of
            the run (`0.5`).
        warmup: how long the learning rate grows linearly from zero before the schedule starts, likewise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "adamw"
    options: dict[str, Any] = Field(default_factory=dict)
    schedule: str | None = None
    schedule_options: dict[str, Any] = Field(default_factory=dict)
    warmup: Annotated[int | float | str, Field(union_mode="left_to_right")] = 0

    @classmethod
    def read(cls, came: Any) -> OptimizerSettings:
        """From `name`, or `{name: {option: value, schedule: …, warmup: …}}`; settings pass through.

        Raises:
            ValueError: something else came.

        Example:
            >>> OptimizerSettings.read({"sgd": {"lr": 0.1, "schedule": "constant_lr"}}).schedule
            'constant_lr'
        """
        if isinstance(came, cls):
            return came
        name, options = name_and_settings(came)
        schedule, warmup = options.pop("schedule", None), options.pop("warmup", 0)
        held: dict[str, Any] = {"name": name, "options": options, "warmup": warmup}
        if schedule is not None:
            held["schedule"], held["schedule_options"] = name_and_settings(schedule)
        return cls(**held)


class TrainSettings(BaseModel):
    """How long to train, on how much at a time, and what to keep.

    Args:
        epochs: passes over the data. Give this or `steps`.
        steps: updates of the student in all.
        batch_size: examples in one step, over all processes and micro-batches together.
        accumulate: micro-batches that each process cuts its part of a step into.
        precision: `bfloat16` runs forward passes under autocast; weights stay float32.
        clip: the largest norm of a turn's gradient, or None.
        average: decay of a moving average of the weights, which is then validated and kept, or None.
        keep: `best` by the validation metric, or the `last` weights.
        validate_every: epochs from one validation to the next.
        patience: end after so many validations in a row in which no student got better; None to train to the
            end. The learning rate's schedule is that of the whole length all the same.
        checkpoint_every: seconds from one checkpoint to the next; 0 writes one after each step.
        log_every: steps from one line of history to the next.
        workers: processes that load data; 0 loads in the training process.
        compiled: run the trained network through `torch.compile`; uncompiled where layers are matched.
        sharded: spread the trained network's weights over the processes (FSDP2); shares of the gradient are
            then not measured.
        channels_last: lay images and the trained network's filters out with the channels innermost.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: Annotated[int, Field(ge=1)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 128
    accumulate: Annotated[int, Field(ge=1)] = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    clip: Annotated[float, Field(gt=0)] | None = None
    average: Annotated[float, Field(gt=0, lt=1)] | None = None
    keep: Literal["best", "last"] = "best"
    validate_every: Annotated[int, Field(ge=1)] = 1
    patience: Annotated[int, Field(ge=1)] | None = None
    checkpoint_every: Annotated[float, Field(ge=0)] = 60.0
    log_every: Annotated[int, Field(ge=1)] = 50
    workers: Annotated[int, Field(ge=0)] = 0
    compiled: bool = False
    sharded: bool = False
    channels_last: bool = False

    @model_validator(mode="after")
    def _one_length(self) -> TrainSettings:
        if (self.epochs is None) == (self.steps is None):
            came = f"epochs={self.epochs}, steps={self.steps}"
            raise ValueError(f"{came}: give either `epochs` or `steps`, and only one of them")
        return self

    def total_steps(self, steps_per_epoch: int) -> int:
        """Updates in all, when an epoch has `steps_per_epoch` of them."""
        return self.steps if self.steps is not None else (self.epochs or 0) * steps_per_epoch
