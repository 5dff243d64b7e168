"""A student that comes back from its folder: by its own network, and by no other."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import tutelage as tl
from tutelage.data.frames import Encoding
from tutelage.training.networks import describe_network

FRAME = pd.DataFrame({"age": [30.0, 40.0, 50.0], "town": ["Bonn", "Rom", "Rom"]})


def net(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 3), nn.ReLU(), nn.Linear(3, 2))


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.LazyLinear(2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    student = net(3)
    save_file(student.state_dict(), tmp_path / "student.safetensors")
    (tmp_path / "network.json").write_text(json.dumps(describe_network(student)))
    (tmp_path / "run.json").write_text(json.dumps({"recipe": {"call": "tutelage.distill"}}))
    (tmp_path / "results.json").write_text(json.dumps({"primary": "student", "outcomes": {}}))
    return tmp_path


def test_a_lazy_network_is_given_its_shapes(folder: Path) -> None:
    rows = torch.ones(2, 3)
    assert torch.equal(tl.load(folder, lazy)(rows), tl.load(folder, net(3))(rows))


def test_a_function_of_the_width_is_given_the_width(folder: Path) -> None:
    with pytest.raises(tl.TutelageError, match=r"no preprocessing at .*; give a function without arguments"):
        tl.load(folder, net)
    encoding = Encoding.fit(FRAME, classes=["no", "yes"])
    encoding(FRAME)
    encoding.save(folder)
    assert Encoding.load(folder).width == 3
    assert set(encoding.predict(tl.load(folder, net), FRAME)) <= {"no", "yes"}


def test_another_network_is_said_to_be_the_wrong_one(folder: Path) -> None:
    with pytest.raises(tl.TutelageError, match=r"0.weight is \[3, 5\], and in .* \[3, 3\], of a Sequential"):
        tl.load(folder, net(5))
    with pytest.raises(tl.TutelageError, match="is not the one that was trained"):
        tl.load(folder, nn.Sequential(nn.Linear(3, 3)))


def test_a_run_that_is_not_finished_says_how_to_go_on(folder: Path) -> None:
    (folder / "results.json").unlink()
    with pytest.raises(tl.TutelageError, match=r"the same call of distill with out=.* and resume=True"):
        tl.load(folder, net(3))


def test_without_out_the_newest_unfinished_run_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tutelage.runs.folder import unfinished_folder

    monkeypatch.chdir(tmp_path)
    for name, files in {"distill": ["results.json"], "distill-2": [], "distill-other": []}.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        for file in ["run.json", *files]:
            (tmp_path / "runs" / name / file).write_text("{}")
    assert unfinished_folder("distill") == Path("runs/distill-2")
    (tmp_path / "runs" / "distill-2" / "results.json").write_text("{}")
    with pytest.raises(tl.TutelageError, match="begun and not finished"):
        unfinished_folder("distill")
