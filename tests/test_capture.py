"""Capture: paths, sides, members, wrappers, checkpointing, errors."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tutelage.capture import Place, call, capture, check_layers, layer_names, logits_of
from tutelage.errors import ModelError, TutelageWarning, UnknownName


class Block(nn.Module):
    """A residual block with the in-place habits of the field; it can be checkpointed from inside."""

    def __init__(self, width: int, reentrant: bool | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.GroupNorm(2, width)
        self.relu = nn.ReLU(inplace=True)
        self.reentrant = reentrant

    def body(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        y += x
        return self.relu(y)

    def forward(self, x: Tensor) -> Tensor:
        if self.reentrant is None:
            return self.body(x)
        return checkpoint(self.body, x, use_reentrant=self.reentrant)


class ToyResNet(nn.Module):
    def __init__(self, reentrant: bool | None = None) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.layer1 = nn.Sequential(Block(4, reentrant), Block(4, reentrant))
        self.layer2 = Block(4, reentrant)
        self.unused = nn.Linear(2, 2)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer2(self.layer1(self.stem(x))).mean((2, 3)))


class Scores(NamedTuple):
    tokens: Tensor
    logits: Tensor


@dataclass
class Answer:
    logits: Tensor
    hidden: tuple[Tensor, ...]


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(3, 3)

    def forward(self, x: Tensor, *, scale: Tensor | float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        first = self.shared(x)
        return first, {"second": self.shared(first) * scale}


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()

    def forward(self, x: Tensor) -> Answer:
        first, rest = self.pair(x, scale=torch.tensor(2.0))
        return Answer(first, (x, rest["second"]))


def images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def hooks(network: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())


@pytest.fixture
def network() -> ToyResNet:
    torch.manual_seed(0)
    return ToyResNet()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("layer3", ("layer3", "output", ())),
        ("layer3:input", ("layer3", "input", ())),
        ("encoder.layer.3:output.0", ("encoder.layer.3", "output", ("0",))),
        (":output.hidden_states.2", ("", "output", ("hidden_states", "2"))),
        ("", ("", "output", ())),
    ],
)
def test_paths_are_taken_apart(path: str, expected: tuple[Any, ...]) -> None:
    place = Place.parse(path)
    assert (place.module, place.side, place.members) == expected
    assert place.path == path


@pytest.mark.parametrize("path", ["layer3:outptu", "layer3:"])
def test_an_unknown_side_is_refused(path: str) -> None:
    with pytest.raises(UnknownName, match="output"):
        Place.parse(path)


def test_a_network_is_called_as_its_inputs_say() -> None:
    class Add(nn.Module):
        def forward(self, a: Tensor, b: float = 1.0) -> Tensor:
            return a + b

    zero = torch.zeros(1)
    assert call(Add(), zero) == 1
    assert call(Add(), (zero, 2.0)) == call(Add(), [zero, 2.0]) == call(Add(), {"b": 2.0, "a": zero}) == 2


def test_logits_are_found() -> None:
    x, other = torch.zeros(2, 3), torch.ones(2, 4)
    for answer in (x, {"loss": other, "logits": x}, (None, x, other), [x], Scores(other, x), Answer(x, ())):
        assert logits_of(answer) is x
    assert logits_of({"logits": None}) is None


@pytest.mark.parametrize("answer", [{"last_hidden_state": 1, "pooled": 2}, {"logits": 3, "pooled": 2}])
def test_an_answer_without_logits_is_described(answer: Any) -> None:
    with pytest.raises(ModelError, match=r"it is a dict with .*pooled.*Wrap the network"):
        logits_of(answer)
    with pytest.raises(ModelError, match="NoneType"):
        logits_of(None)


def test_layers_are_captured_by_their_paths(network: ToyResNet) -> None:
    x = images()
    paths = ["layer2", "layer1.0:output", "fc:input", "", ":output", ":input"]
    outputs = capture(network, x, paths)
    stem = network.stem(x)
    layer1 = network.layer1(stem)
    layer2 = network.layer2(layer1)
    assert list(outputs.features) == paths
    torch.testing.assert_close(outputs.features["layer2"], layer2)
    torch.testing.assert_close(outputs.features["layer1.0:output"], network.layer1[0](stem))
    torch.testing.assert_close(outputs.features["fc:input"], layer2.mean((2, 3)))
    torch.testing.assert_close(outputs.features[":input"], x)
    for whole in ("", ":output"):
        torch.testing.assert_close(outputs.features[whole], outputs.logits)
    assert hooks(network) == 0


def test_later_in_place_operations_do_not_change_a_feature(network: ToyResNet) -> None:
    x = images()
    features = capture(network, x, ["layer2.norm", "layer2.relu:input", "layer2.relu"]).features
    here = network.layer1(network.stem(x))
    norm = network.layer2.norm(network.layer2.conv(here))
    torch.testing.assert_close(features["layer2.norm"], norm)
    torch.testing.assert_close(features["layer2.relu:input"], norm + here)
    torch.testing.assert_close(features["layer2.relu"], (norm + here).relu())


def test_members_of_tuples_mappings_records_and_arguments() -> None:
    network, x = Outer(), torch.randn(2, 3)
    paths = ["pair:output.0", "pair:output.1.second", ":output.hidden.1", "pair:input.scale", "pair:input.0"]
    features = capture(network, x, paths).features
    torch.testing.assert_close(features["pair:output.0"], network.pair.shared(x))
    torch.testing.assert_close(features["pair:output.1.second"], features[":output.hidden.1"])
    assert features["pair:input.scale"] == 2
    torch.testing.assert_close(features["pair:input.0"], x)


def test_named_tuples_have_numbers_and_names() -> None:
    class Named(nn.Module):
        def forward(self, x: Tensor) -> Scores:
            return Scores(x, 2 * x)

    features = capture(Named(), torch.ones(1), [":output.tokens", ":output.1"]).features
    assert (features[":output.tokens"], features[":output.1"]) == (1, 2)


def test_the_first_argument_may_come_by_name() -> None:
    class ByName(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(input=x)

    x = torch.randn(2, 3)
    assert torch.equal(capture(ByName(), x, ["inner:input"]).features["inner:input"], x)


def test_a_shared_layer_keeps_its_last_call() -> None:
    network, x = Pair(), torch.randn(2, 3)
    feature = capture(network, x, ["shared"]).features["shared"]
    torch.testing.assert_close(feature, network.shared(network.shared(x)))


def test_gradient_flows_through_features(network: ToyResNet) -> None:
    capture(network, images(), ["layer1"]).features["layer1"].sum().backward()
    assert network.stem.weight.grad is not None
    assert network.fc.weight.grad is None


def test_a_wrong_layer_names_the_nearest(network: ToyResNet) -> None:
    for path in ("layr2", "layer1.7", "layer1.0.conv2:input", "layer2.forward", "layer2.norm.weight"):
        with pytest.raises(UnknownName, match="ToyResNet"):
            check_layers(network, ["layer1", path])
        with pytest.raises(UnknownName, match=r"Nearest: 'layer"):
            capture(network, images(), [path])
    assert hooks(network) == 0
    check_layers(network, ["layer1", "layer2.conv:input", ":output.logits", ""])


def test_a_wrong_member_lists_the_members() -> None:
    network, x = Outer(), torch.zeros(1, 3)
    with pytest.raises(UnknownName, match=r"unknown member 'secnd'.*Nearest: 'second'.*pair:output.1.secnd"):
        capture(network, x, ["pair:output.1.secnd"])
    with pytest.raises(UnknownName, match=r"Known: 0, scale.*arguments"):
        capture(network, x, ["pair:input.mask"])
    with pytest.raises(UnknownName, match=r"unknown member 'x'.*for a Tensor"):
        capture(network, x, ["pair:output.0.x"])
    assert hooks(network) == 0


def test_what_is_no_tensor_is_refused() -> None:
    with pytest.raises(ModelError, match=r"gave a tuple; expected a tensor. Pick a member: 0, 1"):
        capture(Outer(), torch.zeros(1, 3), ["pair"])


def test_a_layer_that_did_not_run_is_refused(network: ToyResNet) -> None:
    with pytest.raises(ModelError, match="'unused' did not run"):
        capture(network, images(), ["fc", "unused"])


def test_hooks_go_also_after_an_error(network: ToyResNet) -> None:
    with pytest.raises(RuntimeError):
        capture(network, torch.zeros(2, 9, 6, 6), ["layer1", "fc:input"])
    assert hooks(network) == 0


def test_a_headless_backbone_needs_layers() -> None:
    class Headless(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"last_hidden_state": x}

    outputs = capture(Headless(), torch.ones(1), [":output.last_hidden_state"])
    assert outputs.logits is None
    assert outputs.features[":output.last_hidden_state"] == 1
    with pytest.raises(ModelError, match="last_hidden_state"):
        capture(Headless(), torch.ones(1))


def gradients(network: nn.Module, paths: list[str]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    outputs = capture(network, images().requires_grad_(), paths)
    before = {path: feature.detach().clone() for path, feature in outputs.features.items()}
    assert outputs.logits is not None
    loss = outputs.logits.square().mean()
    for feature in outputs.features.values():
        loss = loss + feature.square().mean()
    loss.backward()
    for path, feature in outputs.features.items():
        assert torch.equal(feature, before[path]), "recomputation changed a feature"
    return before, {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_changes_neither_features_nor_gradients(network: ToyResNet, reentrant: bool) -> None:
    paths = ["layer1.0", "layer1", "layer2", "fc:input"]
    if not reentrant:
        paths.append("layer1.1.norm")  # inside a checkpointed region
    checkpointed = ToyResNet(reentrant)
    checkpointed.load_state_dict(network.state_dict())
    plain, plain_gradients = gradients(network, paths)
    features, found = gradients(checkpointed, paths)
    assert found.keys() == plain_gradients.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, plain_gradients[name])
    for path, feature in features.items():
        torch.testing.assert_close(feature, plain[path])


def test_recomputation_meets_no_hook() -> None:
    network, seen = ToyResNet(reentrant=False), []
    network.layer2.norm.register_forward_hook(lambda *_: seen.append(hooks(network)))
    capture(network, images(), ["layer2.norm", "layer1"]).features["layer2.norm"].square().sum().backward()
    assert seen == [3, 1]  # theirs and two of ours; then, in backward, theirs alone


def test_a_feature_without_gradient_warns() -> None:
    network = ToyResNet(reentrant=True)
    with pytest.warns(TutelageWarning, match=r"'layer2.norm' ran with gradients switched off"):
        capture(network, images().requires_grad_(), ["layer2.norm"])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # checkpoint's own, that nothing requires gradient
        warnings.simplefilter("error", TutelageWarning)
        capture(network, images(), ["layer2.norm"])


def test_layer_names_are_the_users_own(network: ToyResNet) -> None:
    names = layer_names(network)
    assert names[:4] == ["stem", "layer1", "layer1.0", "layer1.0.conv"]
    assert layer_names(nn.DataParallel(network)) == names
    assert layer_names(torch.optim.swa_utils.AveragedModel(network)) == names
    partly = ToyResNet()
    partly.layer1 = torch.compile(partly.layer1, backend="eager")
    assert layer_names(partly) == names


def test_a_network_of_its_own_module_is_no_wrapper() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module, self.scale = nn.Linear(2, 2), nn.Parameter(torch.tensor(3.0))

        def forward(self, x: Tensor) -> Tensor:
            return self.module(x) * self.scale

    network = Scaled()
    features = capture(network, torch.ones(1, 2), ["module", ""]).features
    torch.testing.assert_close(features[""], 3 * features["module"])


def wrapped(network: nn.Module, kind: str) -> nn.Module:
    match kind:
        case "data parallel":
            return nn.DataParallel(network)
        case "averaged":
            return torch.optim.swa_utils.AveragedModel(network)
        case "compiled":
            return torch.compile(network, backend="eager")
        case "compiled data parallel":
            return torch.compile(nn.DataParallel(network), backend="eager")
        case "data parallel compiled":
            return nn.DataParallel(torch.compile(network, backend="eager"))
    network.compile(backend="eager")
    return network


@pytest.mark.parametrize(
    "kind",
    [
        "data parallel",
        "averaged",
        "compiled",
        "compiled data parallel",
        "data parallel compiled",
        "compiled in place",
    ],
)
def test_wrappers_are_looked_through(network: ToyResNet, kind: str) -> None:
    x, paths = images(), ["layer1.0.norm", "layer2:input", ""]
    plain = capture(network, x, paths)
    wrapper = wrapped(network, kind)
    torch.testing.assert_close(capture(wrapper, x).logits, plain.logits)  # compiles, where it can
    for _ in range(2):
        outputs = capture(wrapper, x, paths)
        torch.testing.assert_close(outputs.logits, plain.logits)
        for path in paths:
            torch.testing.assert_close(outputs.features[path], plain.features[path])
    with pytest.raises(UnknownName, match=r"Nearest: 'layer2'"):
        check_layers(wrapper, ["module.layer2"])


def test_without_layers_the_compiled_network_runs(network: ToyResNet) -> None:
    graphs: list[Any] = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(network, backend=backend)
    capture(compiled, images(), ["layer1"])
    assert not graphs
    capture(compiled, images())
    assert graphs


def test_a_compiled_part_runs_eager_for_its_layers(network: ToyResNet) -> None:
    x = images()
    plain = capture(network, x, ["layer1.0"]).features["layer1.0"]
    network.layer1 = torch.compile(network.layer1, backend="eager")
    with torch.no_grad():  # with gradients, dynamo in this place trips over a warning of torch's own
        network(x)
    torch.testing.assert_close(capture(network, x, ["layer1.0"]).features["layer1.0"], plain)


def test_replicas_on_several_devices_are_refused(network: ToyResNet) -> None:
    wrapper = nn.DataParallel(network)
    wrapper.device_ids = [0, 1]
    with pytest.raises(ModelError, match="over 2 devices"):
        capture(wrapper, images(), ["layer1"])


@contextlib.contextmanager
def process_group(folder: Path) -> Iterator[None]:
    dist = torch.distributed
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def test_a_distributed_wrapper_is_called_itself(network: ToyResNet, tmp_path: Path) -> None:
    x, paths = images(), ["layer1.0", "fc:input", ""]
    del network.unused
    plain = capture(network, x, paths)
    with process_group(tmp_path):
        wrapper = nn.parallel.DistributedDataParallel(network)
        reduced: list[int] = []

        def count(_, bucket):  # without annotations: DDP wants the very classes there, not their names
            reduced.append(bucket.index())
            future: torch.futures.Future[Tensor] = torch.futures.Future()
            future.set_result(bucket.buffer())
            return future

        wrapper.register_comm_hook(None, count)
        outputs = capture(wrapper, x, paths)
        for path in paths:
            torch.testing.assert_close(outputs.features[path], plain.features[path])
        (outputs.features["layer1.0"].square().mean() + outputs.logits.sum()).backward()
        assert reduced, "the wrapper was not called: gradients stay unsynchronised"
        with pytest.raises(UnknownName):
            check_layers(wrapper, ["module.fc"])


def test_a_vision_transformer() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=8,
        patch_size=4,
        num_labels=3,
    )
    torch.manual_seed(0)
    network = transformers.ViTForImageClassification(config).eval()
    x = {"pixel_values": torch.randn(2, 3, 8, 8), "output_hidden_states": True}
    paths = ["vit:output.last_hidden_state", "classifier:input", ":output.hidden_states.2", ":output.logits"]
    outputs = capture(network, x, paths)
    raw = network(**x)
    assert torch.equal(outputs.logits, raw.logits)
    assert torch.equal(outputs.features[":output.logits"], raw.logits)
    assert torch.equal(outputs.features[":output.hidden_states.2"], raw.hidden_states[2])
    tokens = outputs.features["vit:output.last_hidden_state"]
    assert tokens.shape == (2, 5, 8)
    assert torch.equal(outputs.features["classifier:input"], tokens[:, 0])
    with pytest.raises(UnknownName, match="last_hidden_state"):
        capture(network, x, ["vit:output.last_hidden"])


def test_a_text_encoder_headless_and_checkpointed() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    torch.manual_seed(0)
    network = transformers.BertModel(config, add_pooling_layer=False).eval()
    inputs = transformers.BatchEncoding({"input_ids": torch.arange(6).reshape(2, 3)})
    layers = ["encoder.layer.0", "encoder.layer.1:input", "encoder.layer.1.attention.self:output.0"]
    path = "encoder.layer.0"
    check_layers(network, layers)
    outputs = capture(network, inputs, layers)
    assert outputs.logits is None
    assert torch.equal(outputs.features[path], outputs.features["encoder.layer.1:input"])

    def first_gradient() -> Tensor:
        network.zero_grad()
        capture(network.train(), inputs, [path]).features[path].square().sum().backward()
        gradient = network.embeddings.word_embeddings.weight.grad
        assert gradient is not None
        return gradient.clone()

    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    plain = first_gradient()
    older = "gradient_checkpointing_enable"
    getattr(network, "activation_checkpointing_enable", getattr(network, older))()
    torch.testing.assert_close(first_gradient(), plain)
