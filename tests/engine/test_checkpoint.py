"""State on disk: whole or not at all, and never code."""

from __future__ import annotations

import builtins
import errno
import io
import os
import pickle
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from tutelage.engine import Checkpoint, load_weights, save_weights
from tutelage.engine.checkpoint import write_atomically
from tutelage.errors import CheckpointError, OutputError

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
]


def _tensor(seed: int, shape: list[int], dtype: torch.dtype) -> torch.Tensor:
    own = torch.Generator().manual_seed(seed)
    return torch.randint(0, 100, shape, generator=own).to(dtype)


tensors = st.builds(
    _tensor, st.integers(0, 9), st.lists(st.integers(0, 3), max_size=3), st.sampled_from(DTYPES)
)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
keys = st.text(max_size=3) | st.integers() | st.tuples(st.integers(), st.booleans())
states = st.recursive(
    plain | tensors,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.dictionaries(st.integers(0, 9), st.integers(1, 5), max_size=3).map(Counter)
    ),
    max_leaves=12,
)


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor)
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, dict):
        return (
            type(one) is type(other) and list(one) == list(other) and all(same(one[k], other[k]) for k in one)
        )
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(state=states)
@pytest.mark.slow
def test_any_nested_state_comes_back(tmp_path, state):
    file = Checkpoint(tmp_path / "checkpoint.safetensors")
    file.save({"state": state})
    assert same(file.load(), {"state": state})


def test_equal_states_are_equal_files(tmp_path):
    for name in "abcdefgh":  # safetensors itself writes the entries of a header in any order
        Checkpoint(tmp_path / name).save({"step": 1, "t": torch.ones(2)})
        assert (tmp_path / name).read_bytes() == (tmp_path / "a").read_bytes()
    with safe_open(tmp_path / "a", "pt") as file:
        assert sorted(file.metadata()) == ["tutelage.checkpoint.1", "xxh3_128"]


def test_nan_and_infinity_come_back(tmp_path):
    file = Checkpoint(tmp_path / "c")
    file.save({"values": [float("nan"), float("inf"), -0.0], "t": torch.tensor([float("nan"), 1.0])})
    held = file.load()
    assert str(held["values"]) == "[nan, inf, -0.0]"
    assert held["t"].isnan().tolist() == [True, False]


def test_views_and_shared_memory_are_stored_as_values(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    file = Checkpoint(tmp_path / "c")
    file.save({"a": whole.T, "b": whole[:, 1], "c": whole})
    held = file.load()
    assert torch.equal(held["a"], whole.T)
    assert torch.equal(held["b"], whole[:, 1])
    held["c"].zero_()
    assert torch.equal(held["a"], whole.T)


def test_what_is_neither_tensor_nor_plain_is_refused(tmp_path):
    with pytest.raises(TypeError, match="object is neither"):
        Checkpoint(tmp_path / "c").save({"a": object()})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_every_length_of_header_is_told_from_a_pickle(tmp_path):
    """The first byte of a safetensors file is the low byte of a length, and can be a pickle's."""
    firsts = set()
    for length in range(300):
        file = Checkpoint(tmp_path / "c")
        file.save({"x" * length: torch.ones(1)})
        firsts.add(file.path.read_bytes()[0])
        assert list(file.load()) == ["x" * length]
    assert 0x80 in firsts


# -- writing ----------------------------------------------------------------------------------------


def fail(monkeypatch, where: str, code: int) -> None:
    """Let the disk refuse."""

    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    def refuse_writes(path, mode="r", *rest, **more):
        if "w" in mode or "+" in mode or "a" in mode:
            refuse()
        return real(path, mode, *rest, **more)

    if where == "open":
        real = builtins.open
        monkeypatch.setattr(builtins, "open", refuse_writes)
        monkeypatch.setattr(io, "open", refuse_writes)
    elif where == "write":
        monkeypatch.setattr(Path, "write_bytes", lambda path, content: (path.touch(), refuse()))
    else:
        monkeypatch.setattr(os, where, refuse)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("where", ["open", "write", "fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_old_file(tmp_path, monkeypatch, where, code):
    file = Checkpoint(tmp_path / "checkpoint.safetensors")
    file.save({"step": 1})
    with monkeypatch.context() as patch:
        fail(patch, where, code)
        with pytest.raises(OutputError, match=f"{os.strerror(code)}.*--out.*--resume"):
            file.save({"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    assert file.load() == {"step": 1}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        write_atomically(tmp_path / "new", b"")
    tmp_path.chmod(0o700)


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_atomically(tmp_path / "file" / "inside", b"")


def test_what_a_killed_writer_left_is_taken_away(tmp_path):
    file = tmp_path / "weights"
    write_atomically(file, b"old")
    seen, real = [], os.replace
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        patch.setattr(os, "replace", lambda a, b: seen.append(Path(a)) or real(a, b))
        write_atomically(file, b"new")
        seen[0].write_bytes(b"half")  # killed before the move
        patch.setattr(os, "getpid", lambda: 2)
        write_atomically(file, b"newer")
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]
    assert file.read_bytes() == b"newer"


# -- reading ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.1, 0.5, 0.99])
def test_a_truncated_file(tmp_path, share):
    file = Checkpoint(tmp_path / "c")
    file.save({"a": torch.randn(100), "b": {"c": 3}})
    content = file.path.read_bytes()
    file.path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="truncated"):
        file.load()
    with pytest.raises(CheckpointError, match="truncated"):
        load_weights(file.path, nn.Linear(2, 2))


def test_a_foreign_safetensors_file(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="not a checkpoint of tutelage"):
        Checkpoint(tmp_path / "foreign.safetensors").load()


def test_a_header_that_does_not_fit_its_tensors(tmp_path):
    for tree in ('{"tensor": "9"}', "{", '{"tensor": "0"}'):
        save_file({"0": torch.ones(2)}, tmp_path / "c", {"tutelage.checkpoint.1": tree})
        if tree == '{"tensor": "0"}':
            assert torch.equal(Checkpoint(tmp_path / "c").load(), torch.ones(2))
        else:
            with pytest.raises(CheckpointError, match="damaged"):
                Checkpoint(tmp_path / "c").load()


class Trap:
    """What a malicious pickle looks like."""

    def __reduce__(self):
        return os.system, ("touch trapped",)


@pytest.mark.parametrize("write", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o))])
def test_a_pickle_is_never_run(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pt"
    write({"weight": Trap()}, path)
    with pytest.raises(CheckpointError, match="could run code"):
        load_weights(path, nn.Linear(2, 2))
    with pytest.raises(CheckpointError, match="pickle"):
        Checkpoint(path).load()
    assert not (tmp_path / "trapped").exists()


def test_a_plain_state_dict_of_torch_is_taken(tmp_path):
    for legacy in (True, False):
        source, target = nn.Linear(2, 3), nn.Linear(2, 3)
        torch.save(source.state_dict(), tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)
        load_weights(tmp_path / "w.pt", target)
        assert torch.equal(source.weight, target.weight)


def test_a_torch_file_of_something_else(tmp_path):
    torch.save([torch.ones(1)], tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="holds a list"):
        load_weights(tmp_path / "w.pt", nn.Linear(2, 2))


def test_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(CheckpointError, match="no file of weights"):
            load_weights(path, nn.Linear(2, 2))


def test_weights_of_another_network(tmp_path):
    save_weights(tmp_path / "w", nn.Linear(2, 3))
    with pytest.raises(CheckpointError, match="does not fit Linear"):
        load_weights(tmp_path / "w", nn.Linear(3, 3))
    with pytest.raises(CheckpointError, match="does not fit Sequential"):
        load_weights(tmp_path / "w", nn.Sequential(nn.Linear(2, 3)))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight


def test_tied_weights(tmp_path):
    source, target = Tied(), Tied()
    save_weights(tmp_path / "w", source)
    assert sorted(load_file(tmp_path / "w")) == ["embed.weight", "head.weight"]
    load_weights(tmp_path / "w", target)
    assert torch.equal(target.head.weight, source.embed.weight)
    assert target.head.weight is target.embed.weight


def test_weights_are_plain_safetensors(tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).to(memory_format=torch.channels_last)
    save_weights(tmp_path / "w", network)
    held = load_file(tmp_path / "w")
    assert all(torch.equal(held[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "wrap",
    [nn.DataParallel, lambda network: torch.compile(network, backend="eager")],
    ids=["parallel", "compiled"],
)
def test_a_wrappers_part_of_a_name_is_left_out_and_not_missed(tmp_path, wrap):
    plain = nn.Sequential(nn.Linear(2, 3))
    save_weights(tmp_path / "wrapped.safetensors", wrap(plain))
    assert set(load_file(tmp_path / "wrapped.safetensors")) == {"0.weight", "0.bias"}
    other = wrap(nn.Sequential(nn.Linear(2, 3)))
    load_weights(tmp_path / "wrapped.safetensors", other)
    assert torch.equal(next(other.parameters()), plain[0].weight)


def test_names_of_a_wrapper_in_a_file_are_read(tmp_path):
    plain = nn.Linear(2, 3)
    save_file(
        {f"module.{name}": held for name, held in plain.state_dict().items()},
        tmp_path / "weights.safetensors",
    )
    other = nn.Linear(2, 3)
    load_weights(tmp_path / "weights.safetensors", other)
    assert torch.equal(other.weight, plain.weight)


# -- damage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", ["weights", "checkpoint"])
def test_every_flipped_byte_is_named_or_changes_nothing(tmp_path, write):
    network, file = nn.Linear(2, 2), tmp_path / "a.safetensors"
    if write == "weights":
        save_weights(file, network)
    else:
        Checkpoint(file).save({"step": 7, "weight": network.weight})
    whole = file.read_bytes()
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        file.write_bytes(bytes(content))
        try:
            if write == "weights":
                other = nn.Linear(2, 2)
                load_weights(file, other)
                assert torch.equal(other.weight, network.weight)
                assert torch.equal(other.bias, network.bias)
            else:
                held = Checkpoint(file).load()
                assert held["step"] == 7
                assert torch.equal(held["weight"], network.weight)
        except CheckpointError:
            continue
