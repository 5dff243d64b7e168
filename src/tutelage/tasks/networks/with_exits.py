"""Any network, with answers after some of its layers."""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tutelage.capture import call, check_layers, logits_of
from tutelage.errors import ModelError, UnknownName
from tutelage.layout import channels, pooled
from tutelage.modes import evaluating
from tutelage.tasks.networks.checks import require_positive
from tutelage.tasks.networks.early_exit import EarlyExit, Enough

__all__ = ["ExitHead", "PartWithExit", "WithExits", "with_exits"]


class WithExits(nn.Module):
    """A network of anybody's that also answers after some of its layers.

    Each exit is a small head on what a named layer gives. Which shapes these have, and in which order they come, is
    found by a dry run. Hooks live only inside a call, so that the network stays what it was.

    Args:
        network: any module that answers with logits; it goes by `network` in here: its layer3 is
            `network.layer3`.
        at: the layers, by path; each runs once in a forward pass, and gives vectors, tokens or maps. The exits are
            called exit1, exit2 … in the order in which they come.
        example: inputs of one example, for the dry run.
        num_classes: how many logits each exit answers.
        width: channels of a bottleneck in each head, `exits.exit1.bottleneck`: a 3×3 convolution of stride 2 with
            batch norm and ReLU for maps, else a linear layer and ReLU. 0 for none: one linear layer on the mean
            over positions.

    Shapes:
        as the network takes it -> a mapping: "logits", its own answer, and "exit1", "exit2", …, each
        [N, num_classes].

    Raises:
        ModelError: no layers, or one twice; a layer that does not run once, or gives no such feature; a network
            that answers with other classes.
        UnknownName: the network has no such layer.

    Source:
        Zhang et al. 2019, "Be Your Own Teacher", figure 2 and section 3. Differences: one convolution in a
        bottleneck, where theirs bring each feature to the deepest one's shape by as many as it takes; a match's
        projector does that here.

    Example:
        >>> body = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> network = WithExits(body, at=["1"], example=torch.zeros(1, 4), num_classes=3)
        >>> {name: tuple(logits.shape) for name, logits in network(torch.zeros(5, 4)).items()}
        {'logits': (5, 3), 'exit1': (5, 3)}
        >>> sum(p.numel() for p in network.ending_at("exit1").parameters())
        67
    """

    def __init__(
        self, network: nn.Module, *, at: Sequence[str], example: Any, num_classes: int, width: int = 0
    ) -> None:
        super().__init__()
        require_positive(num_classes=num_classes)
        _check_places(network, at)
        seen = _Seen.by(network, at, example)
        if seen.classes != num_classes:
            raise ModelError(
                f"{type(network).__name__} answers with {seen.classes} classes, and its exits would with "
                f"{num_classes}; give both the same"
            )
        self.network = network
        self.at = [path for path in seen.order if path in at]
        heads = {
            f"exit{number}": ExitHead(seen.features[path], num_classes=num_classes, width=width)
            for number, path in enumerate(self.at, 1)
        }
        self.exits = nn.ModuleDict(heads)
        self._ran = {path: seen.order[: seen.order.index(path) + 1] for path in self.at}

    def forward(self, *inputs: Any, **named: Any) -> dict[str, Float[Tensor, "items classes"]]:
        """Logits of a batch, the deepest first."""
        early: dict[str, Tensor] = {}

        def note(exit_: str, logits: Tensor) -> bool:
            early[exit_] = logits
            return False

        deepest = self.until(note, *inputs, **named)
        assert deepest is not None
        return {"logits": deepest, **early}

    def until(self, enough: Enough, *inputs: Any, **named: Any) -> Float[Tensor, "items classes"] | None:
        """Run until an exit's answer is enough.

        Args:
            enough: the name of an exit and its logits -> whether to stop there.
            inputs, named: as the network takes them.

        Returns:
            The deepest answer; None where it stopped before.
        """
        answer = _until(
            self.network,
            {path: (exit_, self.exits[exit_]) for path, exit_ in zip(self.at, self.exits, strict=True)},
            enough,
            named or inputs,
        )
        return None if answer is None else logits_of(answer)

    def ending_at(self, exit_: str) -> PartWithExit:
        """The part that ends at an exit, on the same weights, without the layers that come after it.

        Raises:
            UnknownName: there is no such exit.
        """
        if exit_ not in self.exits:
            raise UnknownName("exit", exit_, list(self.exits))
        path = self.at[list(self.exits).index(exit_)]
        part = PartWithExit(_without_rest(self.network, "", self._ran[path]), path, self.exits[exit_])
        return part.train(self.training)

    def stopping(self, threshold: float) -> EarlyExit:
        """The network that stops at the first exit that is sure enough; see `EarlyExit`."""
        return EarlyExit(self, threshold=threshold).train(self.training)


class ExitHead(nn.Sequential):
    """A bottleneck if wanted, the mean over positions, and a linear layer.

    Args:
        feature: what it will read, of any number of items.
        num_classes, width: see `WithExits`.
    """

    def __init__(self, feature: Tensor, *, num_classes: int, width: int = 0) -> None:
        layers: dict[str, nn.Module] = {}
        last = channels(feature)
        if width:
            require_positive(width=width)
            layers["bottleneck"] = _bottleneck(last, width, maps=feature.ndim == 4)
            last = width
        layers |= {"pool": _Pool(), "head": nn.Linear(last, num_classes)}
        super().__init__(OrderedDict(layers))


class PartWithExit(nn.Module):
    """The part of a network up to a layer, and a head on it.

    While it is exported its network runs to its end, with nothing in place of what comes after the layer, and the graph
    keeps what the head needs. A network whose forward cannot run so is refused there.

    Args:
        network: what is called; it is left at the layer.
        path: of the layer.
        head: reads what the layer gives.
    """

    def __init__(self, network: nn.Module, path: str, head: nn.Module) -> None:
        super().__init__()
        self.network, self.path, self.head = network, path, head

    def forward(self, *inputs: Any, **named: Any) -> Float[Tensor, "items classes"]:
        """Logits of a batch."""
        found: list[Tensor] = []

        def take(_: str, logits: Tensor) -> bool:
            found.append(logits)
            return not torch.compiler.is_exporting()

        _until(self.network, {self.path: (self.path, self.head)}, take, named or inputs)
        return found[0]


class _Stop(Exception):  # noqa: N818
    """An answer is enough, and the rest of the network is left out."""


def _until(
    network: nn.Module, heads: dict[str, tuple[str, nn.Module]], enough: Enough, inputs: Any
) -> Any | None:
    """Call a network with a head after some of its layers; its answer, or None where one was enough."""

    def listening(name: str, head: nn.Module) -> Callable[..., None]:
        def note(_: nn.Module, __: Any, output: Any) -> None:
            if enough(name, head(output)):
                raise _Stop

        return note

    handles = [
        network.get_submodule(path).register_forward_hook(listening(name, head))
        for path, (name, head) in heads.items()
    ]
    try:
        return call(network, inputs)
    except _Stop:
        return None
    finally:
        for handle in handles:
            handle.remove()


class _Seen:
    """What a dry run showed.

    Args:
        order: paths of all modules, in the order in which they first finished.
        features: what the asked ones gave.
        classes: of the network's own answer.
    """

    def __init__(self, order: list[str], features: dict[str, Tensor], classes: int) -> None:
        self.order, self.features, self.classes = order, features, classes

    @classmethod
    def by(cls, network: nn.Module, at: Sequence[str], example: Any) -> _Seen:
        """Run a network once and note what finishes when."""
        runs: Counter[str] = Counter()
        features: dict[str, Any] = {}

        def noter(path: str) -> Callable[..., None]:
            def note(_: nn.Module, __: Any, output: Any) -> None:
                runs[path] += 1
                if path in at:
                    features[path] = output

            return note

        handles = [module.register_forward_hook(noter(path)) for path, module in network.named_modules() if path]
        try:
            with torch.no_grad(), evaluating(network):
                logits = logits_of(call(network, example))
        finally:
            for handle in handles:
                handle.remove()
        for path in at:
            _check_feature(path, runs[path], features.get(path))
        return cls(list(runs), features, 0 if logits is None else logits.shape[-1])


def _check_places(network: nn.Module, at: Sequence[str]) -> None:
    if not at or len(set(at)) < len(at) or any(not path or ":" in path for path in at):
        raise ModelError(
            f"exits came at {list(at)}; name layers of the network by their paths, each once, such as layer3"
        )
    check_layers(network, list(at), who="network with exits")


def _check_feature(path: str, runs: int, feature: Any) -> None:
    if runs != 1:
        raise ModelError(
            f"layer {path} ran {runs} times in one forward pass; an exit stands after one that runs once: name another"
        )
    if not isinstance(feature, Tensor) or not 2 <= feature.ndim <= 4:
        came = f"a tensor of shape {list(feature.shape)}" if isinstance(feature, Tensor) else type(feature).__name__
        raise ModelError(
            f"layer {path} gives {came}; an exit reads vectors, tokens or maps: a tensor of 2 to 4 axes"
        )


def _bottleneck(last: int, width: int, *, maps: bool) -> nn.Module:
    if not maps:
        return nn.Sequential(nn.Linear(last, width), nn.ReLU())
    conv = nn.Conv2d(last, width, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


class _Pool(nn.Module):
    """The mean over positions."""

    def forward(self, feature: Tensor) -> Tensor:
        return pooled(feature)


def _without_rest(module: nn.Module, path: str, ran: Sequence[str]) -> nn.Module:
    """A module on the same weights, in which those that had not begun when the last of `ran` finished are empty."""
    if path in ran:
        return module
    if path and not any(other.startswith(f"{path}.") for other in ran):
        return nn.Identity()
    kept = copy.copy(module)
    kept._modules = {
        name: None if child is None else _without_rest(child, f"{path}.{name}".removeprefix("."), ran)
        for name, child in module._modules.items()
    }
    return kept


def with_exits(
    *, network: nn.Module, at: Sequence[str], example: Any, num_classes: int, width: int = 0
) -> WithExits:
    """A network with answers after some of its layers; arguments, shapes and source are those of `WithExits`."""
    return WithExits(network, at=at, example=example, num_classes=num_classes, width=width)
