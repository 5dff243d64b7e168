"""What can be done with a finished run: exported, copied, loaded, shown in a notebook."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import tutelage as tl

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::tutelage.TutelageWarning")]

X = torch.randn(90, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def net(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tl.Run:
    out = tmp_path_factory.mktemp("kept") / "run"
    return tl.distill(
        net(8), net, (X, Y), (X, Y), epochs=1, seeds=2, batch_size=30, out=out, quiet=True, placebo=False
    )


@pytest.mark.parametrize("came", ["run", "folder", "copy"])
@pytest.mark.parametrize("brought", [net, net()])
def test_the_student_comes_back(run: tl.Run, came: str, brought: object, tmp_path: Path) -> None:
    where = {"run": run, "folder": str(run.out)}.get(came) or run.save(tmp_path / "copy")
    student = tl.load(where, brought)
    assert not student.training
    assert student is not brought
    assert torch.equal(student(X), run.student(X))


def test_a_run_has_its_networks(run: tl.Run) -> None:
    student = tl.load(run)
    assert student is not run.student
    assert torch.equal(student(X), run.student(X))
    assert torch.equal(tl.load(run, outcome="control")(X), run.students["control"](X))


def test_of_another_outcome_too(run: tl.Run) -> None:
    control = tl.load(run, net, outcome="control")
    assert torch.equal(control(X), run.students["control"](X))
    with pytest.raises(tl.TutelageError, match="Nearest: 'control'"):
        tl.load(run, net, outcome="controls")


def test_what_cannot_be_loaded_is_refused(run: tl.Run, tmp_path: Path) -> None:
    with pytest.raises(tl.TutelageError, match=r"tutelage\.load\(.*, Net\(\)\)"):
        tl.load(str(run.out))
    with pytest.raises(tl.TutelageError, match="there is no folder"):
        tl.load(tmp_path / "nothing", net)
    with pytest.raises(tl.TutelageError):
        tl.load(run, net(5))


def test_a_copy_has_the_report_and_not_the_seeds(run: tl.Run, tmp_path: Path) -> None:
    copy = run.save(tmp_path / "copy")
    assert (copy / "report.html").read_text() == run.report.read_text()
    assert not list(copy.glob("seed*"))
    with pytest.raises(tl.TutelageError, match="is there already"):
        run.save(copy)


@pytest.mark.parametrize("kind", ["safetensors", "torch_export", "onnx"])
def test_the_student_is_exported(run: tl.Run, kind: str) -> None:
    if kind == "onnx":
        pytest.importorskip("onnxscript")
    record = run.export(kind)
    assert Path(record["path"]).parent == run.out / "export"
    with pytest.raises(tl.TutelageError, match="overwrite"):
        run.export(kind)
    assert run.export(kind, overwrite=True)["max_difference"] <= 1e-4
    with pytest.raises(tl.TutelageError, match="Nearest"):
        run.export(f"{kind}s")


def test_a_bundle_is_written(run: tl.Run, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    record = run.export("bundle", examples=20, licences={"data": "cc0-1.0"})
    path = run.out / "export" / "bundle"
    assert (record["path"], record["examples"]) == (str(path), 90)
    assert "**Not shown to be better than its control.**" in (path / "README.md").read_text()
    assert "- Data: cc0-1.0" in (path / "README.md").read_text()
    with pytest.raises(tl.TutelageError, match="overwrite"):
        run.export("bundle")
    with pytest.raises(tl.TutelageError, match="only a bundle has them"):
        run.export("onnx", tmp_path / "student.onnx", examples=5)
    with pytest.raises(tl.TutelageError, match="Nearest: 'bundle'"):
        run.export("bundel")


def test_outcomes_that_are_onnx_files_lie_in_the_bundle(run: tl.Run, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    run.export("onnx", tmp_path / "inner.onnx")
    content = (tmp_path / "inner.onnx").read_bytes()
    place = run.out / "outcomes" / "int8"
    place.mkdir(parents=True)
    held = {"file": torch.frombuffer(bytearray(content), dtype=torch.uint8)}
    save_file(held, place / "student.safetensors")
    (place / "network.json").write_text(json.dumps({"class": "somewhere.OnnxNetwork"}))
    run.export("bundle", tmp_path / "bundle")
    about = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    assert list(about["networks"]) == ["float32", "int8"]
    assert (tmp_path / "bundle" / "student-int8.onnx").read_bytes() == content


def test_a_notebook_shows_the_table_and_the_verdict(run: tl.Run) -> None:
    shown = run._repr_html_()
    assert "Verdict" in shown
    assert "Parameters" in shown
    assert repr(run).startswith("Run(not shown")
