"""A small convolutional network as a file in few bits: the contract of changes, what each way owes."""

from __future__ import annotations

import copy
import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tutelage.capture import capture
from tutelage.compression import Calibration, Changed, Changer, Export, Quantise
from tutelage.errors import ModelError, TutelageWarning
from tutelage.evaluation import cost
from tutelage.export import export
from tutelage.tasks.vision.models import thin_convnet
from tutelage.traced import OnnxNetwork, missing_instructions
from tutelage.types import Batch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.slow

IMAGES = torch.rand(48, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LAYERS = ["blocks.0.conv", "blocks.1.conv", "head"]


def calibration(images: Tensor = IMAGES, layers: tuple[str, ...] = ()) -> Calibration:
    return Calibration(
        lambda: (Batch(part, torch.arange(len(part))) for part in images.split(32)),
        lambda network, batch: capture(network, batch.inputs, list(layers)),
    )


def make(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network = thin_convnet(num_classes=3, widths=[8, 16], batch_norm=True)
    network(IMAGES)
    return network.eval()


HOWS: dict[str, Changer] = {
    "export": Export(),
    "static": Quantise(how="static"),
    "percentile": Quantise(how="static", calibration="percentile"),
    "entropy": Quantise(how="static", calibration="entropy", per_channel=False),
    "int7": Quantise(how="static", numbers="int7", keep_float=1),
    "dynamic": Quantise(how="dynamic"),
    "weights": Quantise(how="weights"),
    "four": Quantise(how="weights", bits=4, keep_float=1),
}


@pytest.fixture(scope="module")
def changed() -> dict[str, Changed]:
    return {name: change.change(make(), calibration()) for name, change in HOWS.items()}


@pytest.mark.parametrize("name", HOWS)
def test_the_contract_of_changes(changed: dict[str, Changed], name: str):
    found, again = changed[name], HOWS[name].change(make(), calibration())
    assert found.done == again.done == json.loads(json.dumps(found.done))
    assert isinstance(found.network, OnnxNetwork)
    assert found.network.content == again.network.content
    answers = found.network(IMAGES)
    assert answers.isfinite().all()
    assert torch.equal(copy.deepcopy(found.network)(IMAGES), answers)
    kind = type(HOWS[name])
    anew = kind.__new__(kind).replay(make(1), json.loads(json.dumps(found.done)))
    anew.load_state_dict(found.network.state_dict())
    assert torch.equal(anew(IMAGES), answers)


def test_float32_answers_as_torch_does(changed: dict[str, Changed]):
    torch.testing.assert_close(
        changed["export"].network(IMAGES), make()(IMAGES).detach(), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "least"), [("static", 25), ("entropy", 20), ("dynamic", 25), ("weights", 35), ("four", 10)]
)
def test_the_noise_of_rounding_is_small(changed: dict[str, Changed], name: str, least: float):
    whole, came = make()(IMAGES).detach(), changed[name].network(IMAGES)
    assert 10 * math.log10(whole.square().sum() / (whole - came).square().sum()) > least


def test_layers_are_named_the_worst_first_and_stay_in_float(changed: dict[str, Changed]):
    for name in ("static", "dynamic", "weights"):
        layers = changed[name].done["layers"]
        assert sorted(one["layer"] for one in layers) == LAYERS
        assert [one["sqnr_db"] for one in layers] == sorted(one["sqnr_db"] for one in layers)
        assert not any(one["float"] for one in layers)
    for name in ("int7", "four"):
        assert [one["float"] for one in changed[name].done["layers"]] == [True, False, False]


def test_costs_are_those_of_the_network_that_it_was(changed: dict[str, Changed]):
    expected = cost(make(), IMAGES[:1], device="cpu", latency=False)
    for name, one in changed.items():
        found = cost(one.network, IMAGES[:1], device="cpu", latency=False)
        assert (found["parameters"], found["flops"]) == (expected["parameters"], expected["flops"])
        if name != "export":
            assert found["bytes"] < expected["bytes"]


def test_an_export_is_the_file_itself(changed: dict[str, Changed], tmp_path: Path):
    network = changed["static"].network
    found = export(network, IMAGES[:1], tmp_path / "student.onnx", format="onnx")
    assert Path(found["path"]).read_bytes() == network.content
    assert found["max_difference"] == 0
    with pytest.raises(ModelError, match="is an ONNX file, and no graph of torch"):
        export(network, IMAGES[:1], tmp_path / "student.pt2", format="torch_export")


def test_a_file_is_not_quantised_again(changed: dict[str, Changed]):
    for change in (Quantise(how="static"), Quantise(how="aware"), Export()):
        with pytest.raises(ModelError, match="an ONNX file already"):
            change.change(changed["static"].network, calibration())


def test_a_file_in_float32_is_quantised_as_the_network_is(changed: dict[str, Changed]):
    found = Quantise(how="static").change(changed["export"].network, calibration())
    assert torch.equal(found.network(IMAGES), changed["static"].network(IMAGES))
    assert sorted(one["layer"] for one in found.done["layers"]) == LAYERS
    with pytest.raises(ModelError, match="export was given a network that is an ONNX file already"):
        Export().change(changed["export"].network, calibration())


def ones(images: int = 4) -> tuple[nn.Module, Calibration]:
    network = nn.Sequential(nn.Conv2d(16, 4, 3, bias=False), nn.Flatten())
    nn.init.ones_(network[0].weight)
    return network, calibration(torch.ones(images, 16, 3, 3))


def test_sums_do_not_saturate_on_any_processor():
    """144 products of the largest numbers, two of which do not fit in 16 bits: 2 · 255 · 127."""
    for numbers in ("uint8", "int7"):
        network, examples = ones()
        found = Quantise(how="static", numbers=numbers).change(network, examples).network
        assert found(torch.ones(1, 16, 3, 3)).flatten().tolist() == pytest.approx([144.0] * 4, rel=0.01)


@pytest.mark.skipif(not missing_instructions(), reason="this processor has instructions for INT8")
def test_sums_that_saturate_are_warned_of():
    network, examples = ones()
    with pytest.warns(TutelageWarning, match="numbers: int8 on a processor without VNNI.*saturate"):
        found = Quantise(how="static", numbers="int8").change(network, examples).network
    assert found(torch.ones(1, 16, 3, 3))[0, 0] < 100


def test_what_was_trained_at_four_bits_is_written_in_them():
    network = Quantise(how="aware", bits=4).change(make().train(), calibration()).network
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        network(IMAGES).square().mean().backward()
        optimizer.step()
    expected = network.eval()(IMAGES).detach()
    found = Quantise(how="weights", bits=4).change(network, calibration()).network
    torch.testing.assert_close(found(IMAGES), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(network(IMAGES), expected)


class Bessel(nn.Module):
    def forward(self, rows: Tensor) -> Tensor:
        return torch.special.i1e(rows)


def test_an_operator_that_onnx_lacks_is_named_with_its_module():
    network = nn.Sequential(nn.Linear(4, 4), Bessel())
    examples = Calibration(
        lambda: [Batch(torch.ones(2, 4), torch.arange(2))], lambda net, batch: capture(net, batch.inputs, [])
    )
    with pytest.raises(ModelError, match=r"operator \S*bessel_i1e\S*, which the layer 1 \(Bessel\) calls"):
        Export().change(network, examples)


def test_a_task_that_reads_layers_is_told():
    with pytest.raises(ModelError, match="the task reads layers"):
        Export().change(make(), calibration(layers=("blocks.0",)))


def test_no_examples_at_all():
    with pytest.raises(ModelError, match="looks at examples"):
        Quantise(how="dynamic").change(make())


def test_a_linear_network_in_each_way():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 3)).eval()
    rows = torch.randn(8, 2, 8)  # three axes: products of matrices in the file
    examples: Any = Calibration(
        lambda: [Batch(rows, torch.arange(8))], lambda net, batch: capture(net, batch.inputs, [])
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for settings in ({"how": "static"}, {"how": "weights", "bits": 4}):
            found = Quantise(**settings).change(copy.deepcopy(network), examples)
            assert sorted(one["layer"] for one in found.done["layers"]) == ["0", "2"]
            torch.testing.assert_close(found.network(rows), network(rows).detach(), atol=0.3, rtol=0.1)
