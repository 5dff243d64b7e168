"""Training examples for changes that look at data."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from tutelage.capture import call, capture
from tutelage.compression import Calibration
from tutelage.data import Loader, reading
from tutelage.engine import Runtime
from tutelage.evaluation import latencies
from tutelage.modes import evaluating
from tutelage.studies import Arm
from tutelage.tasks.problem import Problem
from tutelage.types import Batch, Outputs

__all__ = ["calibration_of"]

BATCH = 64


def calibration_of(arm: Arm, problem: Problem, network: str, runtime: Runtime) -> Calibration:
    """Examples of an arm's training data in one order, whoever asks, and the task's way to ask and to learn.

    Args:
        arm: whose data.
        problem: whose exam.
        network: the name of the network that is to be changed.
        runtime: where.
    """
    reads = problem.reads.get(network)
    exam = problem.exam

    def batches() -> Iterator[Batch]:
        for micros in Loader(arm.source, batch_size=BATCH, seed=0).epoch(0):
            yield from (batch.to(runtime.device) for batch in micros)

    def ask(net: nn.Module, batch: Batch) -> Outputs:
        return capture(net, reading(batch, reads).inputs, exam.layers)

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        own = ask(net, batch)
        terms = []
        for match in exam.alone():
            match.fit(own, None)
            terms.append(match.to(batch.ids.device)(own, None, batch))
        return torch.stack(terms).sum()

    def ratio(before: nn.Module, after: nn.Module) -> float:
        example = reading(arm.source.batch([0]), reads).inputs
        with evaluating(before, after):
            pair = {key: (partial(call, net), example) for key, net in (("before", before), ("after", after))}
            timed = latencies(pair, runtime.device, (1,), reference="before")
        return float(runtime.share(timed["after"]["1"]["ratio"]))

    labelled = arm.source.batch([0]).labels is not None
    return Calibration(batches, ask, loss if labelled else None, ratio)
