"""A change that puts a file in a network's place: what is said where it is slower, and what undoes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from tutelage.compression import Calibration, Changed, Changer, Quantise
from tutelage.engine import Runtime
from tutelage.errors import RecipeError, TutelageWarning
from tutelage.recipes import build
from tutelage.recipes.load import parse
from tutelage.studies import Change
from tutelage.traced import OnnxNetwork, Stands
from tutelage.training import changing

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
helper = pytest.importorskip("onnx.helper")

ADAM = {"student": {"adamw": {"lr": 0.01}}}
TRAIN: dict[str, Any] = {
    "scheme": "alone",
    "optimizers": ADAM,
    "train": {"epochs": 1, "batch_size": 32},
}
RECIPE: dict[str, Any] = {
    "task": {"tabular.classification": {"data": "sklearn.iris", "validation": 30, "test": 30}},
    "student": {"model": {"mlp": {"widths": [2]}}},
    "stages": [TRAIN],
    "control": False,
}


def test_no_training_follows_a_file():
    study = build(parse({**RECIPE, "stages": [TRAIN, {"quantise": {"how": "static"}}]}), "last")
    assert len(study.first.stages) == 2
    for change in ({"quantise": {"how": "dynamic"}}, {"export": {"format": "onnx"}}):
        with pytest.raises(RecipeError, match=r"stage 2 trains the student, and (quantise|export) before it"):
            build(parse({**RECIPE, "stages": [TRAIN, change, TRAIN]}), "not last")
    build(parse({**RECIPE, "stages": [{"quantise": {"how": "aware"}}, TRAIN]}), "aware")
    assert Quantise(how="static").final
    assert not Quantise(how="aware").final


class Exchanged(Changer):
    """Puts one product of matrices in a file in a network's place, and says that it is of integers."""

    def change(self, network: nn.Module, calibration: Calibration | None = None) -> Changed:
        weight = network.weight.detach().T.contiguous().numpy()
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["rows", "weight"], ["logits"])],
            "graph",
            [helper.make_tensor_value_info("rows", 1, ["batch", 4])],
            [helper.make_tensor_value_info("logits", 1, ["batch", 3])],
            [onnx.numpy_helper.from_array(weight, "weight")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        file = model.SerializeToString()
        return Changed(OnnxNetwork(file, Stands(12), rounded="all"), {"bytes": len(file)})

    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> nn.Module:
        return OnnxNetwork(done["bytes"], Stands(12), rounded="all")


@pytest.mark.parametrize("keep", ["always", "if_better"])
def test_a_slower_file_is_said_to_be_slower_and_undone(monkeypatch: pytest.MonkeyPatch, keep: Any):
    times = {"before": 1.0, "after": 1.5}
    held = {name: {"1": {"p50": p50, "stable": True}} for name, p50 in times.items()}
    monkeypatch.setattr(changing, "latencies", lambda *_, **__: held)
    monkeypatch.setattr(changing, "missing_instructions", lambda: "VNNI")
    problem = build(parse(RECIPE), "slower").problem
    network = nn.Linear(4, 3, bias=False)
    change = Change("quantise", Exchanged(), tolerance=1.0, keep=keep)
    examples = Calibration(lambda: [], lambda net, batch: net(batch.inputs))
    said = r"quantise of the student: it is slower.*\(1.5 times at batch 1, on a processor without VNNI"
    with pytest.warns(TutelageWarning, match=said):
        step = changing.make_change(
            change, "student", network, examples, problem, Runtime(cpu=True, quiet=True)
        )
    assert isinstance(step.network, OnnxNetwork) == (keep == "always")
    assert ("undone" in step.about) == (keep == "if_better")
    assert step.about["lacking"] == "VNNI"
    torch.testing.assert_close(step.network(torch.ones(2, 4)), network(torch.ones(2, 4)).detach())
