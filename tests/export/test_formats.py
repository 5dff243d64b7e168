"""What every format must do; each test runs over all of `formats`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tutelage.errors import ModelError, OutputError, UnknownName
from tutelage.export import export, formats
from tutelage.tasks.networks import mlp
from tutelage.types import HeadLogits

EXAMPLE = torch.linspace(-1, 1, 2 * 160).reshape(2, 10, 4, 4)


def few_values(student: nn.Module) -> nn.Module:
    """With weights of few values, since there is a format for these alone."""
    for parameter in student.parameters():
        parameter.data = (parameter.data * 4).round() / 4
    return student


def network() -> nn.Module:
    torch.manual_seed(0)
    return few_values(mlp(num_classes=3, in_features=160, widths=[8], dropout=0.5))


@dataclass
class Answer:
    logits: Tensor
    loss: Tensor | None = None


class Answering(nn.Module):
    """An answer of some kind, from two inputs."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.pixels, self.extra, self.kind = nn.Linear(4, 60), nn.Linear(2, 60, bias=False), kind
        few_values(self)

    def forward(self, pixels: Tensor, extra: Tensor) -> Any:
        return self.kind(self.pixels(pixels) - self.extra(extra))


NEEDS = {"onnx": ["onnxscript", "onnxruntime"], "openvino": ["openvino"], "executorch": ["executorch.exir"]}
ANY = sorted(set(formats) - {"gguf"})  # which takes one family alone, see test_gguf


def _require(name: str) -> str:
    for package in NEEDS.get(name, []):
        pytest.importorskip(package)
    return name


@pytest.fixture(params=ANY)
def format_name(request: pytest.FixtureRequest) -> str:
    return _require(request.param)


@dataclass
class Exported:
    said: dict[str, Any]
    path: Path
    network: nn.Module
    modes: list[bool]
    state: dict[str, Tensor]


@pytest.fixture(scope="module", params=ANY)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """One export over a file that was there, of a network that is partly in training mode."""
    name = _require(request.param)
    path = tmp_path_factory.mktemp(name) / "student"
    path.write_text("mine")
    student = network().train()
    student.get_submodule("head").eval()
    modes = [layer.training for layer in student.modules()]
    state = {key: value.clone() for key, value in student.state_dict().items()}
    said = export(student, EXAMPLE, path, format=name, overwrite=True)
    return Exported(said, path, student, modes, state)


def test_formats_are_the_functions_of_the_folder() -> None:
    folder = Path(__file__).parents[2] / "src" / "tutelage" / "export"
    shared = {"__init__", "checking", "raw_columns", "gguf_tokenizer", "huffman", "read_deep_compression"}
    files = {path.stem for path in folder.glob("*.py")} - shared
    assert files == set(formats)
    assert all(function.__name__ == name for name, function in formats.items())


def test_says_what_it_wrote(exported: Exported) -> None:
    agreed = {"max_difference", "tolerance", "examples", "same_first_choice"}
    assert {"format", "path", "bytes"} | agreed <= set(exported.said)
    assert (exported.said["examples"], exported.said["same_first_choice"]) == (2, 1.0)
    assert exported.said["format"] in formats
    assert exported.said["path"] == str(exported.path)
    weights = exported.path.with_suffix(".bin")
    two = [exported.path, weights] if exported.said["format"] == "openvino" else [exported.path]
    assert exported.said["bytes"] == sum(file.stat().st_size for file in two) > 4
    assert 0 <= exported.said["max_difference"] < 1e-5
    assert sorted(exported.path.parent.iterdir()) == sorted(two)


def test_all_examples_that_came_are_compared(tmp_path: Path) -> None:
    rows = torch.linspace(-1, 1, 250 * 160).reshape(250, 10, 4, 4)
    said = export(network(), rows, tmp_path / "student", format="safetensors", tolerance=1e-3)
    assert (said["examples"], said["same_first_choice"], said["tolerance"]) == (100, 1.0, 1e-3)


def test_a_single_number_is_no_choice(tmp_path: Path) -> None:
    said = export(nn.Linear(4, 1), torch.ones(5, 4), tmp_path / "student", format="safetensors")
    assert (said["examples"], said["same_first_choice"]) == (5, None)


def test_the_network_stays_as_it_was(exported: Exported) -> None:
    student = exported.network
    assert [layer.training for layer in student.modules()] == exported.modes
    assert all(parameter.requires_grad for parameter in student.parameters())
    assert all(torch.equal(value, exported.state[key]) for key, value in student.state_dict().items())


def test_a_file_that_is_there_stays(format_name: str, tmp_path: Path) -> None:
    path = tmp_path / "student"
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"is there already.*overwrite=True"):
        export(network(), EXAMPLE, path, format=format_name)
    assert path.read_text() == "mine"


def test_a_folder_that_cannot_be_written(format_name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match=r"cannot write .* choose another folder"):
        export(network(), EXAMPLE, tmp_path / "file" / "student", format=format_name)


def test_a_folder_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "student"

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tutelage.files.os.replace", refuse)  # the superuser may write anywhere
    with pytest.raises(OutputError, match=r"Permission denied.*choose another folder"):
        export(network(), EXAMPLE, path, format="safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_file_that_answers_differently_is_not_kept(format_name: str, tmp_path: Path) -> None:
    path = tmp_path / "student"
    path.write_text("mine")
    with pytest.raises(ModelError, match=r"differs from the network by .* Nothing was kept"):
        export(network(), EXAMPLE, path, format=format_name, tolerance=-1.0, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["student"]
    assert path.read_text() == "mine"


def test_a_network_that_answers_nan_is_refused(tmp_path: Path) -> None:
    student = network()
    nn.init.constant_(student.get_parameter("head.bias"), float("nan"))
    with pytest.raises(ModelError, match="differs from the network by nan"):
        export(student, EXAMPLE, tmp_path / "student", format="safetensors")


@pytest.mark.parametrize(
    "kind",
    [
        lambda logits: logits,
        lambda logits: {"loss": None, "logits": logits},
        lambda logits: Answer(logits=logits),
        lambda logits: (logits, logits + 1),
    ],
    ids=["tensor", "mapping", "record", "tuple"],
)
def test_logits_are_found_in_any_answer(kind: Any, tmp_path: Path) -> None:
    inputs = (torch.ones(2, 4), torch.ones(2, 2))
    said = export(Answering(kind), inputs, tmp_path / "student.pt2", format="torch_export")
    program = torch.export.load(said["path"]).module()
    assert program(torch.ones(5, 4), torch.ones(5, 2)).shape == (5, 60)


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.slow
def test_several_inputs(format_name: str, by_name: bool, tmp_path: Path) -> None:
    tensors = {"extra": torch.ones(2, 2), "pixels": torch.ones(2, 4)}  # not in the order of the signature
    inputs = tensors if by_name else (tensors["pixels"], tensors["extra"])
    said = export(Answering(lambda x: {"logits": x}), inputs, tmp_path / "student", format=format_name)
    assert said["max_difference"] < 1e-5


def test_a_network_without_logits_is_refused(format_name: str, tmp_path: Path) -> None:
    inputs = (torch.ones(2, 4), torch.ones(2, 2))
    with pytest.raises(ModelError, match="left its logits empty"):
        export(Answering(lambda _: {"logits": None}), inputs, tmp_path / "student", format=format_name)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"unknown format 'safetensor'\. Nearest: 'safetensors'"):
        export(network(), EXAMPLE, tmp_path / "student", format="safetensor")


class Headed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.last = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, inputs: torch.Tensor) -> dict[str, object]:
        hidden = self.body(inputs)
        return {"logits": None, "head": HeadLogits(hidden, self.last.weight, self.last.bias)}


@pytest.mark.parametrize("format_", ["safetensors", "torch_export", "onnx"])
@pytest.mark.slow
def test_a_network_that_leaves_its_logits_to_the_loss(format_, tmp_path):
    network = Headed()
    found = export(network, torch.randn(2, 4), tmp_path / "student", format=format_)
    assert found["max_difference"] < 1e-5
    if format_ == "torch_export":
        inputs = torch.randn(3, 4)
        logits = network.last(network.body(inputs))
        torch.testing.assert_close(torch.export.load(found["path"]).module()(inputs), logits)
