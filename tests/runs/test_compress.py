"""A trained network is made smaller in one call, step by step, and comes back from its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import tutelage as tl
from tutelage.compression import Prune
from tutelage.runs.compress import compress_network, read_changes
from tutelage.runs.study_of import Wanted, study_of

X = torch.randn(90, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def test_each_step_is_measured_and_the_network_comes_back(tmp_path: Path) -> None:
    network = net()
    small = tl.compress(
        network,
        (X, Y),
        changes=[{"prune": {"share": 0.5}}, {"prune": {"share": 0.5}, "tolerance": 1.0}],
        out=tmp_path / "small",
        quiet=True,
    )
    assert [stop["name"] for stop in small.way] == ["0 as it came", "1 prune", "2 prune"]
    assert [stop["cost"]["parameters"] for stop in small.way] == [58, 30, 16]
    assert small.way[2]["metric"]["after"] is not None
    quality = [stop["quality"]["accuracy"]["mean"] for stop in small.way]
    assert len(set(quality)) == 3
    assert small.way[0]["difference"] is None
    assert [small.way[n]["difference"] for n in (1, 2)] == pytest.approx(
        [quality[1] - quality[0], quality[2] - quality[1]]
    )
    assert network[0].out_features == 8
    again = tl.load(small.out, net)
    assert torch.equal(again(X), small.network(X))


def test_what_was_done_before_is_done_again_too(tmp_path: Path) -> None:
    network = net()
    record = {"change": "prune", "done": Prune(share=0.5).change(network).done, "settles": False}
    problem = study_of(Wanted.of(teacher=net(), student=net(), train=(X, Y), epochs=1)).problem
    made = compress_network(
        network,
        problem,
        read_changes({"prune": {"share": 0.5}}),
        tmp_path / "small",
        about={"done": [record]},
        cpu=True,
        quiet=True,
    )
    assert made.network[0].out_features == 2
    assert torch.equal(tl.load(made.out, net)(X), made.network(X))


@pytest.mark.filterwarnings("ignore::tutelage.TutelageWarning")
def test_a_step_that_loses_too_much_is_undone(tmp_path: Path) -> None:
    network = net()
    for _ in range(60):
        loss = nn.functional.cross_entropy(network(X), Y)
        network.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.5 * parameter.grad
    wish = {"prune": {"share": 0.9}, "keep": "if_better"}
    small = tl.compress(network, (X, Y), (X, Y), changes=wish, out=tmp_path / "small", quiet=True)
    assert "may be lost" in small.way[1]["undone"]
    assert torch.equal(small.network(X), network(X))
    assert torch.equal(tl.load(small.out, net)(X), network(X))


@pytest.mark.parametrize(
    ("came", "said"),
    [
        ("prone", "Nearest: 'prune'"),
        ({"prune": {"share": 2}}, "share came as 2"),
        ({"prune": {"shares": 0.5}}, "shares"),
        ([], "came empty"),
        ({"prune": {}, "keeps": "always"}, "expected its name"),
    ],
)
def test_changes_that_cannot_be(came: object, said: str) -> None:
    with pytest.raises(tl.TutelageError, match=said):
        read_changes(came)


def test_no_network(tmp_path: Path) -> None:
    with pytest.raises(tl.TutelageError, match=r"expected a trained nn\.Module"):
        tl.compress("resnet", (X, Y), changes="prune", out=tmp_path / "small")
