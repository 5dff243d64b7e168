"""The folder for a device: whole or not there, and its programs run without torch and without us."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tutelage.errors import ModelError, OutputError
from tutelage.export.bundle import Described, Kept, bundle
from tutelage.export.bundle.writing import _parameters
from tutelage.layout import resize
from tutelage.traced import OnnxNetwork, Stands

DEVICE = Path(__file__).parents[2] / "src" / "tutelage" / "export" / "device"
IMAGES = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0)).mul(255).round()
HOW = {"kind": "image", "channels": 1, "height": 8, "width": 8, "mean": [0.5], "std": [0.25]}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()


def prepared(pixels: Tensor) -> Tensor:
    return (pixels / 255 - 0.5) / 0.25


def load(name: str) -> ModuleType:
    spec = util.spec_from_file_location(name, DEVICE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def programs() -> Iterator[tuple[Any, Any]]:
    """predict.py and measure.py, as they find each other in a bundle."""
    yield load("predict"), load("measure")
    for name in ("predict", "measure"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    path = tmp_path_factory.mktemp("made") / "bundle"
    described = Described(
        name="blobs",
        card=lambda said: f"compared on {said['examples']} examples\n",
        answer="class",
        classes=["one", "two", "three"],
        metric="accuracy",
        preparation=HOW,
    )
    inputs = prepared(IMAGES)
    with torch.no_grad():
        labels = network()(inputs).argmax(-1)
    labels[0] = (labels[0] + 1) % 3
    said = bundle(network(), inputs, path, described=described, kept=Kept(inputs, labels))
    return path, said


def test_a_bundle_holds_data_and_programs(made: tuple[Path, dict[str, Any]]) -> None:
    path, said = made
    files = sorted(file.name for file in path.iterdir())
    assert files == said["files"]
    assert files == [
        "README.md",
        "bundle.json",
        "examples.npz",
        "measure.py",
        "predict.py",
        "requirements.txt",
        "student.onnx",
    ]
    assert said["bytes"] == sum(file.stat().st_size for file in path.iterdir())
    assert (said["format"], said["examples"], said["same_first_choice"]) == ("bundle", 12, 1.0)
    about = json.loads((path / "bundle.json").read_text())
    assert about["inputs"] == [{"name": "input", "dtype": "float32", "shape": ["batch", 1, 8, 8]}]
    assert about["preparation"] == HOW
    assert about["parameters"] == 195
    assert (path / "README.md").read_text() == "compared on 12 examples\n"
    assert (path / "requirements.txt").read_text().split() == ["numpy", "onnxruntime", "pillow"]
    assert [file.name for file in path.parent.iterdir()] == ["bundle"]


def test_a_folder_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("mine")
    for overwrite, said in ((False, r"is there already.*overwrite=True"), (True, "is no bundle")):
        with pytest.raises(OutputError, match=said):
            bundle(
                network(),
                prepared(IMAGES),
                tmp_path / "mine",
                described=Described("blobs"),
                overwrite=overwrite,
            )
    assert (tmp_path / "mine" / "note").read_text() == "mine"


@pytest.mark.slow
def test_a_bundle_is_replaced_as_a_whole(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "bundle.json").write_text("{}")
    (path / "old").write_text("old")
    leftover = tmp_path / ".part.bundle"  # of a writer that was killed
    leftover.mkdir()
    (leftover / "half").write_text("half")
    bundle(network(), prepared(IMAGES), path, described=Described("blobs"), overwrite=True)
    assert not {"old", "half"} & {file.name for file in path.iterdir()}
    assert [file.name for file in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.slow
def test_no_half_folder_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bundle"
    with pytest.raises(ModelError, match="differs from the network"):
        bundle(network(), prepared(IMAGES), path, described=Described("blobs"), tolerance=-1.0)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match=r"cannot write .*choose another folder"):
        bundle(network(), prepared(IMAGES), tmp_path / "file" / "bundle", described=Described("blobs"))

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tutelage.files.os.replace", refuse)  # the superuser may write anywhere
    with pytest.raises(OutputError, match=r"Permission denied"):
        bundle(network(), prepared(IMAGES), path, described=Described("blobs"))
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_images_are_prepared_as_in_training(
    made: tuple[Path, dict[str, Any]], programs: tuple[Any, Any], tmp_path: Path
) -> None:
    predict, _ = programs
    pixels = IMAGES[0, 0].to(torch.uint8).numpy()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    student = predict.Student(made[0])
    read = student.read(tmp_path / "a.png")
    np.testing.assert_allclose(read["input"], prepared(IMAGES[:1]).numpy(), atol=1e-6)
    (answer,) = student.said(student.logits(read))
    with torch.no_grad():
        shares = network()(prepared(IMAGES[:1])).softmax(-1)[0]
    assert answer["class"] == ["one", "two", "three"][int(shares.argmax())]
    assert answer["share"] == pytest.approx(float(shares.max()), abs=1e-5)


@pytest.mark.parametrize(("old", "new"), [((16, 12), (8, 8)), ((5, 6), (8, 8)), ((3, 20), (8, 8))])
def test_other_sizes_are_brought_to_the_students_as_in_training(
    programs: tuple[Any, Any], old: tuple[int, int], new: tuple[int, int]
) -> None:
    down, across = (programs[0]._weights(one, other) for one, other in zip(old, new, strict=True))
    pixels = torch.rand(1, 1, *old)
    ours = down @ pixels[0, 0].numpy() @ across.T
    np.testing.assert_allclose(ours, resize(pixels, new)[0, 0].numpy(), atol=1e-5)


def test_columns_are_read_from_text(programs: tuple[Any, Any]) -> None:
    read = programs[0]._column
    np.testing.assert_array_equal(read(["1.5", "", "True"], "number")[:, 0], np.float32([1.5, np.nan, 1.0]))
    assert read(["1970-01-02", "1970-01-01T12:00"], "date")[:, 0].tolist() == [1.0, 0.5]
    assert read(["Ulm", ""], "word")[:, 0].tolist() == ["Ulm", ""]


def test_quality_is_measured_as_here(programs: tuple[Any, Any]) -> None:
    quality = programs[1].quality
    logits = np.float32([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    assert quality(logits, np.array([0, 1, 1]), "accuracy") == pytest.approx(2 / 3)
    assert quality(np.float32([[1.0], [-1.0]]), np.array([1, 1]), "accuracy") == 0.5
    assert quality(np.float32([[1.0], [3.0]]), np.float32([1.0, 1.0]), "mse") == 2.0
    asked = np.log(np.float32([[[0.5, 0.5], [0.25, 0.75]]]))
    assert quality(asked, np.array([[0, -100]]), "nll") == pytest.approx(np.log(2))
    assert quality(logits, np.array([0, 1, 1]), "f1") is None


def test_energy_counts_over_a_counter_that_begins_anew(
    programs: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = programs[1]
    zone, part = tmp_path / "intel-rapl:0", tmp_path / "intel-rapl:0:0"
    for folder in (zone, part):
        folder.mkdir()
        (folder / "energy_uj").write_text("9000000\n")
        (folder / "max_energy_range_uj").write_text("10000000\n")
    monkeypatch.setattr(measure, "POWER", tmp_path)
    before = measure.joules()
    assert before == {zone: 9.0}  # a part of a processor is in it already
    (zone / "energy_uj").write_text("2000000\n")
    assert measure.used(before, measure.joules()) == 3.0
    monkeypatch.setattr(measure, "POWER", tmp_path / "none")
    assert measure.used(before, measure.joules()) is None


def test_a_measure_is_what_compare_reads(
    made: tuple[Path, dict[str, Any]], programs: tuple[Any, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    from tutelage.comparison.records import Measure

    found = programs[1].measure(made[0], batches=[1, 4], threads=[1, 2], seconds=0.01)
    held = Measure.model_validate(json.loads(json.dumps(found)))
    assert held.name == "blobs, float32"
    assert (held.examples, held.quality) == (12, {"accuracy": pytest.approx(11 / 12)})
    assert list(held.cost.latency_ms) == ["1", "4", "1, 2 threads", "4, 2 threads"]
    assert held.cost.bytes == (made[0] / "student.onnx").stat().st_size
    assert held.cost.peak_memory_bytes
    assert "answers differ from the network's by" in capsys.readouterr().err


@pytest.mark.slow
def test_the_programs_run_without_torch_and_without_us(
    made: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    Image.fromarray(IMAGES[0, 0].to(torch.uint8).numpy()).save(tmp_path / "a.png")
    banned = "import sys\nfor name in ('torch', 'tutelage', 'scipy', 'onnx'): sys.modules[name] = None\n"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for program, words in (("predict", [str(tmp_path / "a.png")]), ("measure", ["--seconds", "0.01"])):
        code = f"{banned}sys.path.insert(0, {str(made[0])!r})\nimport {program}\n{program}.main({words!r})"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)


@pytest.mark.parametrize(
    ("name", "said"),
    [("a.csv", "reads no rows of a table; give images"), ("rows.csv", "reads no rows of a table")],
)
def test_a_file_of_another_kind_is_refused(
    made: tuple[Path, dict[str, Any]], programs: tuple[Any, Any], name: str, said: str
) -> None:
    with pytest.raises(SystemExit, match=said):
        programs[0].Student(made[0]).read(Path(name))
    with pytest.raises(SystemExit, match="it has float32"):
        programs[0].Student(made[0], which="int8")


def test_a_file_counts_the_parameters_of_what_it_came_from() -> None:
    assert _parameters(OnnxNetwork(3, Stands(parameters=7))) == 7
    assert _parameters(nn.Linear(4, 3)) == 15
