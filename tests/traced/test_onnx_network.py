"""A network that is a file: it answers as the file does, is copied, stored and refused in words."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tutelage.errors import CheckpointError, ModelError
from tutelage.evaluation import cost
from tutelage.threads import threads
from tutelage.traced import OnnxNetwork, Stands, missing_instructions, processor

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
helper = pytest.importorskip("onnx.helper")

WEIGHT = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


def content(inputs: tuple[str, ...] = ("rows",)) -> bytes:
    nodes = [helper.make_node("MatMul", [inputs[0], "weight"], ["logits" if len(inputs) == 1 else "product"])]
    if len(inputs) == 2:
        nodes.append(helper.make_node("Add", ["product", inputs[1]], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", width])
            for name, width in zip(inputs, (3, 2), strict=False)
        ],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 2])],
        [onnx.numpy_helper.from_array(torch.tensor(WEIGHT).numpy(), "weight")],
    )
    return written(graph)


def written(graph: Any) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return bytes(model.SerializeToString())


def network(**options: Any) -> OnnxNetwork:
    return OnnxNetwork(content(**options), Stands(parameters=6, flops=12))


ROWS = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
LOGITS = torch.tensor([[1.0, 2.0], [9.0, 12.0]])


def test_it_answers_by_position_and_by_name_in_any_float():
    one = network()
    assert torch.equal(one(ROWS), LOGITS)
    assert torch.equal(one(rows=ROWS.double()), LOGITS)
    assert torch.equal(one(ROWS.bfloat16().requires_grad_()), LOGITS)
    two = network(inputs=("rows", "more"))
    assert torch.equal(two(ROWS, LOGITS), 2 * LOGITS)
    assert torch.equal(two(more=LOGITS, rows=ROWS), 2 * LOGITS)


def test_its_state_is_the_file(tmp_path: Path):
    one = network()
    save_file(one.state_dict(), tmp_path / "student.safetensors")
    held = load_file(tmp_path / "student.safetensors")
    assert held["file"].numpy().tobytes() == content() == one.content
    anew = OnnxNetwork(len(content()), Stands(parameters=6))
    anew.load_state_dict(held)
    assert torch.equal(anew(ROWS), LOGITS)
    assert not list(one.parameters())


def test_a_copy_and_other_bytes_have_sessions_of_their_own():
    one = network()
    one(ROWS)
    other = copy.deepcopy(one)
    assert other._sessions == {}
    assert torch.equal(other(ROWS), LOGITS)
    scaled = network(inputs=("rows",)).content.replace(
        torch.tensor(6.0).numpy().tobytes(), torch.tensor(7.0).numpy().tobytes()
    )
    other.load_state_dict({"file": torch.frombuffer(bytearray(scaled), dtype=torch.uint8)})
    assert other(ROWS)[1, 1] == 13
    assert torch.equal(one(ROWS), LOGITS)


def test_threads_follow_those_of_torch():
    one = network()
    for count in (1, 2):
        with threads(count):
            one(ROWS)
    assert sorted(key[0] for key in one._sessions) == [1, 2]


def test_its_costs_are_those_that_it_stands_for():
    found = cost(network(), ROWS[:1], device="cpu", latency=False)
    assert (found["parameters"], found["flops"]) == (6, 12)
    assert 0 < found["bytes"] - len(content()) < 200


def test_wrong_inputs_are_refused_in_words():
    with pytest.raises(ModelError, match="reads rows; it was called with images"):
        network()(images=ROWS)
    with pytest.raises(ModelError, match="reads rows; it was called with 2 inputs"):
        network()(ROWS, ROWS)
    with pytest.raises(ModelError, match=r"cannot be run with rows \[1, 5\]"):
        network()(torch.zeros(1, 5))
    with pytest.raises(ModelError, match="a tensor was expected"):
        network()([ROWS])


def test_bytes_that_are_no_file():
    with pytest.raises(CheckpointError, match="no ONNX file that ONNX Runtime opens"):
        OnnxNetwork(b"nothing", Stands(parameters=0))(ROWS)


def test_a_kernel_that_is_missing_is_named():
    kind = onnx.TensorProto.BFLOAT16
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", "rows"], ["logits"])],
        "graph",
        [helper.make_tensor_value_info("rows", kind, [3, 3])],
        [helper.make_tensor_value_info("logits", kind, [3, 3])],
    )
    missing = OnnxNetwork(written(graph), Stands(parameters=6))
    with pytest.raises(ModelError, match=r"no kernel on this processor for a layer of the file.*MatMul"):
        missing(torch.ones(3, 3))


@pytest.mark.parametrize(
    ("machine", "capabilities", "said"),
    [
        ("x86_64", {"avx2": True}, "VNNI and AVX512"),
        ("x86_64", {"avx512_f": True}, "VNNI"),
        ("AMD64", {"avx2": True, "avx_vnni": True}, ""),
        ("arm64", {}, ""),
        ("x86_64", {}, ""),
    ],
)
def test_what_a_processor_lacks(monkeypatch, machine, capabilities, said):
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert missing_instructions.__wrapped__() == said


def test_it_takes_no_training():
    assert isinstance(network().train(), nn.Module)
