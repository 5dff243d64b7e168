"""How a network is run and laid out changes its speed, and not what it learns."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file

from tutelage.engine import Runtime, read_history
from tutelage.recipes import build, load
from tutelage.training import Classroom, train_arm

SHORT = [
    "teacher={frozen: {model: {thin_convnet: {widths: [8, 8]}}}}",
    "student.model={thin_convnet: {widths: [4, 4]}}",
    "stages.0.train={epochs: 2, batch_size: 128, log_every: 1}",
    "control=false",
    "seeds=1",
]


def trained(folder, *changes):
    study = build(load("vision/digits", changes=[*SHORT, *changes]), "vision/digits")
    runtime = Runtime(cpu=True, quiet=True)
    teacher = Classroom(study, [], runtime).teacher(study.arms["student"], None)
    done = train_arm(
        study.arms["student"], study.problem, runtime, folder, seed=0, teacher=lambda _: teacher, label="x"
    )
    losses = [one["loss"] for one in read_history(folder / "stage0" / "history.jsonl") if "loss" in one]
    return losses, done.network


@pytest.mark.parametrize(
    "change",
    [
        "stages.0.train.channels_last=true",
        pytest.param("stages.0.train.compiled=true", marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
def test_the_losses_and_the_weights_are_those_of_the_plain_run(tmp_path, change):
    if "compiled" in change and shutil.which("g++") is None and shutil.which("c++") is None:
        pytest.skip("torch.compile needs a C++ compiler here")
    plain, _ = trained(tmp_path / "plain")
    other, network = trained(tmp_path / "other", change)
    assert other == pytest.approx(plain, rel=1e-4)
    assert network._compiled_call_impl is None
    assert all(parameter.is_contiguous() for parameter in network.parameters())
    one, two = (load_file(tmp_path / name / "student.safetensors") for name in ("plain", "other"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4)
