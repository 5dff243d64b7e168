from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tutelage.errors import CheckpointError, ModelError
from tutelage.export import deep_compression, read_deep_compression
from tutelage.export.deep_compression import _bits, _written
from tutelage.export.read_deep_compression import MAGIC, PREFIX


def pruned(inner: int = 120, out: int = 40, *, kept: float = 0.1, values: int = 8) -> nn.Sequential:
    """A layer with few values, most of them zero, and a head."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(inner, out), nn.Linear(out, 5))
    for layer in network:
        book = torch.randn(values)
        weight = book[torch.randint(0, values, layer.weight.shape)]
        layer.weight = nn.Parameter(torch.where(torch.rand_like(weight) < kept, weight, 0.0))
    return network


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Bit by bit."""
    return one.keys() == other.keys() and all(
        one[key].dtype == other[key].dtype
        and one[key].shape == other[key].shape
        and np.array_equal(_bits(one[key]), _bits(other[key]))
        for key in one
    )


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("file") / "student.dcz"
    deep_compression(pruned(), torch.ones(2, 120), path)
    return path.read_bytes()


@pytest.fixture
def file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "student.dcz"
    path.write_bytes(content)
    return path


def test_it_is_small_exact_and_says_where_its_bytes_are(tmp_path: Path):
    network = pruned(300, 100, kept=0.08)
    said = deep_compression(network, torch.ones(2, 300), tmp_path / "student.dcz")
    assert same(read_deep_compression(said["path"]), network.state_dict())
    assert sum(said["breakdown"].values()) == said["bytes"] == Path(said["path"]).stat().st_size
    assert said["max_difference"] == 0
    assert said["plain_bytes"] == 4 * sum(p.numel() for p in network.parameters())
    assert said["coded"] == ["0.weight", "1.weight"]
    assert said["breakdown"]["rest"] == 4 * 105
    # 2,400 weights with 3 bits of code and 8 % kept: at least its entropy of 5 bits a gap
    assert 2400 * 3 / 8 * 0.95 < said["breakdown"]["codes"] < 2600 * 3 / 8 * 1.05
    assert said["plain_bytes"] > 25 * said["bytes"]


def test_gaps_worked_out_by_hand(tmp_path: Path):
    """Weights at 1, 4 and 15, gaps of 3 bits: 1, 2, then 10 zeros, of which a padding zero takes eight."""
    network = nn.Linear(400, 1, bias=False)
    nn.init.zeros_(network.weight)
    with torch.no_grad():
        network.weight[0, [1, 4, 15]] = torch.tensor([3.0, 1.0, 3.0])
    deep_compression(network, torch.ones(1, 400), tmp_path / "x.dcz", index_bits=3)
    content = (tmp_path / "x.dcz").read_bytes()
    _, length, _, size, _ = PREFIX.unpack_from(content)
    (held,) = json.loads(content[PREFIX.size : PREFIX.size + length])["tensors"]
    assert held["entries"] == 4
    assert held["gaps"] == [0, 2, 1, 0, 0, 0, 0, 2]  # 1, 2, 7 with the padding, and 2 once more
    assert held["codes"] == [2, 2, 1]  # a padding zero, one 1.0 and two 3.0
    assert size == 2
    assert torch.equal(read_deep_compression(tmp_path / "x.dcz")["weight"], network.weight)


@pytest.mark.parametrize("index_bits", [None, 1, 5, 12])
def test_any_width_of_gaps_comes_back(tmp_path: Path, index_bits: int | None):
    network = pruned(kept=0.02)
    deep_compression(network, torch.ones(2, 120), tmp_path / "x.dcz", index_bits=index_bits)
    assert same(read_deep_compression(tmp_path / "x.dcz"), network.state_dict())


STATES: dict[str, dict[str, Tensor]] = {
    "none": {},
    "empty": {"a": torch.zeros(0), "b": torch.zeros(3, 0, 2)},
    "scalar": {"a": torch.tensor(3.5), "b": torch.tensor(7)},
    "zeros": {"a": torch.zeros(1000), "b": torch.zeros(1000, dtype=torch.int64)},
    "ones": {"a": torch.ones(1000)},
    "odd": {"a": torch.tensor([0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e-45] * 100)},
    "last": {"a": torch.cat([torch.zeros(5000), torch.ones(1)])},
    "first": {"a": torch.cat([torch.ones(1), torch.zeros(5000)])},
    "kinds": {
        str(kind): torch.arange(600).remainder(3).to(kind)
        for kind in (torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint8, torch.bool)
    },
    "dense": {"a": torch.randn(4, 5, 6)},
    "tied": {"a": torch.arange(300.0), "b": torch.arange(300.0), "c": torch.arange(300)},
    "turned": {"a": torch.eye(40).repeat(1, 2)[:, 3:60].T},
}


@pytest.mark.parametrize("name", STATES)
def test_any_state_comes_back_bit_by_bit(tmp_path: Path, name: str):
    content, _ = _written(STATES[name], range(1, 13), halved=False)
    (tmp_path / "x.dcz").write_bytes(content)
    assert same(read_deep_compression(tmp_path / "x.dcz"), STATES[name])


def test_what_is_the_same_is_written_once():
    once, twice = (
        _written(
            {k: torch.randn(2000, generator=torch.Generator().manual_seed(0)) for k in keys},
            [5],
            halved=False,
        )[0]
        for keys in ("a", "ab")
    )
    assert len(twice) < len(once) + 100


def test_convolutions_with_running_statistics(tmp_path: Path):
    def make() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Flatten(), nn.Linear(16 * 36, 4))

    network, images = make(), torch.randn(4, 3, 8, 8)
    network(images)
    for parameter in network.parameters():
        parameter.data = (parameter.data * 8).round() / 8
    said = deep_compression(network, images, tmp_path / "x.dcz")
    fresh = make()
    fresh.load_state_dict(read_deep_compression(said["path"]))
    assert same(fresh.state_dict(), network.state_dict())


def test_the_rest_as_float16_is_smaller_and_differs_a_little(tmp_path: Path):
    network, inputs = pruned(), torch.randn(2, 120)
    network.register_buffer("large", torch.full((9,), 1e6) + torch.randn(9))  # beyond its range: stays exact
    exact = deep_compression(network, inputs, tmp_path / "a.dcz")
    half = deep_compression(network, inputs, tmp_path / "b.dcz", rest="float16", tolerance=1e-2)
    assert half["breakdown"]["rest"] == exact["breakdown"]["rest"] - 2 * 45
    state = read_deep_compression(half["path"])
    assert torch.equal(state["0.bias"], network[0].bias.half().float())
    assert torch.equal(state["0.weight"], network[0].weight)
    assert torch.equal(state["large"], network.large)
    assert half["max_difference"] > 0


def test_networks_that_cannot_be_written_are_refused(tmp_path: Path):
    plain = nn.Linear(30, 30)
    with pytest.raises(ModelError, match=r"no weight of Linear has few values; prune and share first"):
        deep_compression(plain, torch.ones(1, 30), tmp_path / "x.dcz")
    parametrize.register_parametrization(plain, "weight", nn.Tanh())
    with pytest.raises(ModelError, match=r"still computed from others; .*settle\(network\)"):
        deep_compression(plain, torch.ones(1, 30), tmp_path / "x.dcz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("settings", [{"rest": "int8"}, {"index_bits": 0}, {"index_bits": 13}])
def test_settings_out_of_range_are_refused(tmp_path: Path, settings: dict[str, Any]):
    with pytest.raises(ValueError, match="is expected"):
        deep_compression(pruned(), torch.ones(1, 120), tmp_path / "x.dcz", **settings)


def test_a_byte_that_changed_is_found_wherever_it_is(file: Path):
    content = file.read_bytes()
    for at in range(0, len(content), 7):
        file.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        with pytest.raises(
            CheckpointError, match=r"student\.dcz cannot be read: .*(copy it again|Export it)"
        ):
            read_deep_compression(file)


def test_a_truncated_file_is_refused(file: Path):
    content = file.read_bytes()
    for length in [*range(0, len(content), 17), len(content) - 1]:
        file.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"it is truncated|no Deep Compression file"):
            read_deep_compression(file)
    file.write_bytes(content + b"\0")
    with pytest.raises(CheckpointError, match="something was added"):
        read_deep_compression(file)


def forged(file: Path, header: Any, body: bytes | None = None) -> Path:
    """A file with right checksums and another header."""
    content = file.read_bytes()
    _, length, _, _, _ = PREFIX.unpack_from(content)
    body = content[PREFIX.size + length :] if body is None else body
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(
        PREFIX.pack(MAGIC, len(head), zlib.crc32(head), len(body), zlib.crc32(body)) + head + body
    )
    return file


def header_of(file: Path) -> Any:
    content = file.read_bytes()
    return json.loads(content[PREFIX.size : PREFIX.size + PREFIX.unpack_from(content)[1]])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("shape", [10**6, 10**6], "its tensors take more than"),
        ("shape", [2**61, 2**61, 0], "not of this format|place beyond|entries"),
        ("shape", [-1, 5], "the shape of"),
        ("shape", [1.0], "the shape of"),
        ("shape", [3, 4], "more entries than places"),
        ("shape", "40", "the shape of"),
        ("dtype", "object", "of the type object"),
        ("dtype", ["float32"], "not of this format|of the type"),
        ("kind", "pickle", "not of this format"),
        ("name", "1.weight", "comes twice"),
        ("name", 3, "a name is 3"),
        ("kind", "same", "not of this format"),
        ("entries", 10**9, "more entries than places"),
        ("entries", 3, "not as long as its symbols"),
        ("entries", True, "more entries than places"),
        ("bytes", [1, 1], "cannot be read"),
        ("bytes", [-1, 1], "cut short"),
        ("bytes", [10**9, 1], "cut short"),
        ("codebook", "AAAA", "not of this format"),
        ("codebook", "", "not in its codebook"),
        ("codebook", "???", "not of this format"),
        ("gaps", [1, 1, 1], "a table of"),
        ("gaps", [0, 0], "a table of"),
        ("gaps", [-1, 1], "a table of"),
        ("gaps", [1000, 1], "a table of"),
        ("gaps", {"only": 10**9}, "a table of"),
        ("gaps", {}, "not of this format"),
        ("codes", None, "not of this format"),
    ],
)
def test_a_header_that_lies_is_refused(file: Path, key: str, value: Any, message: str):
    header = header_of(file)
    header["tensors"][0][key] = value
    if key == "name" and value == "1.weight":
        header["tensors"][1]["name"] = value
    with pytest.raises(CheckpointError, match=message):
        read_deep_compression(forged(file, header))


HUGE = b"""{"tensors": [{"name": "a", "shape": [4611686018427387000, 4611686018427387000, 0], "dtype": "int8",
"kind": "plain", "stored": "int8", "bytes": [0]}]}"""


@pytest.mark.parametrize(
    "header",
    [b"", b"{", b"[]", b"{}", b'{"tensors": 3}', b"[" * 100_000, b'{"tensors": [[]]}', b"\xff\xfe", HUGE],
)
def test_a_header_of_another_kind_is_refused(file: Path, header: bytes):
    with pytest.raises(CheckpointError, match=r"not of this format|something is left over"):
        read_deep_compression(forged(file, header))


def test_a_bomb_is_refused_before_it_is_made(file: Path):
    one = {
        "name": "a",
        "shape": [2**28],
        "dtype": "float32",
        "kind": "coded",
        "entries": 2**28,
        "bytes": [0, 0],
    }
    one |= {"codebook": "AACAPw==", "gaps": {"only": 0}, "codes": {"only": 1}}
    again = [one | {"name": str(n), "kind": "same", "as": "a"} for n in range(100)]
    with pytest.raises(CheckpointError, match=r"its tensors take more than 1,000,000 bytes \(most_bytes\)"):
        read_deep_compression(forged(file, {"tensors": [one, *again]}, b""), most_bytes=10**6)
    small = one | {"shape": [100], "entries": 100}
    many = [small, *(small | {"name": str(n), "kind": "same", "as": "a"} for n in range(9999))]
    with pytest.raises(CheckpointError, match="its tensors take more than"):
        read_deep_compression(forged(file, {"tensors": many}, b""), most_bytes=10**6 * 3)
    assert read_deep_compression(forged(file, {"tensors": [small]}, b""))["a"].tolist() == [1.0] * 100
