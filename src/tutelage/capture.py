"""Named layers of any `nn.Module` -> `Outputs`; hooks live only inside the call.

A layer is named by a path: a module, then optionally which side of it, then a member of what stands there::

    layer3                              the output of a module
    layer3:input                        what goes into it (its first argument)
    encoder.layer.3:output.0            a member of a tuple
    backbone:output.last_hidden_state   a member of a mapping, a named tuple or a dataclass
    :output.hidden_states.2             the whole network, two members deep

Paths start at the user's own network, whichever wrapper it wears: what only wraps a `.module`
(`DistributedDataParallel`, `DataParallel`, `AveragedModel`) and what `torch.compile` returns are looked
through.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.errors import ModelError, TutelageWarning, UnknownName
from tutelage.types import HeadLogits, Outputs

__all__ = ["Place", "call", "capture", "check_layers", "layer_names", "logits_of"]


@dataclass(frozen=True, slots=True)
class Place:
    """A layer path, taken apart.

    Args:
        path: the path as it came.
        module: the module's path; empty for the whole network.
        side: "output" or "input".
        members: what to pick from a tuple, a mapping or a record, outermost first.

    Example:
        >>> Place.parse("encoder.layer.3:output.0")
        Place(path='encoder.layer.3:output.0', module='encoder.layer.3', side='output', members=('0',))
    """

    path: str
    module: str
    side: str = "output"
    members: tuple[str, ...] = ()

    @classmethod
    def parse(cls, path: str) -> Place:
        """Read a path string.

        Raises:
            UnknownName: the side is neither "input" nor "output".
        """
        module, colon, rest = path.partition(":")
        side, *members = rest.split(".") if colon else ["output"]
        if side not in ("input", "output"):
            raise UnknownName("side of a layer", side, ("input", "output"), hint=f"It came in {path!r}.")
        return cls(path, module, side, tuple(members))


def call(network: nn.Module, inputs: Any) -> Any:
    """Call a network with a batch's inputs, and return its own answer.

    Args:
        network: any module.
        inputs: a tuple or list gives `network(*inputs)`, a mapping (also Transformers' `BatchEncoding`)
            `network(**inputs)`, anything else `network(inputs)`.

    Example:
        >>> call(nn.Flatten(), torch.zeros(2, 3, 4)).shape
        torch.Size([2, 12])
    """
    if isinstance(inputs, Mapping):
        return network(**inputs)
    if isinstance(inputs, tuple | list):
        return network(*inputs)
    return network(inputs)


def logits_of(answer: Any) -> Tensor | None:
    """Find the raw scores in a network's answer.

    Args:
        answer: a tensor; a mapping with "logits"; an object with `.logits`; a tuple or list, of which the
            first tensor is taken.

    Returns:
        The scores, or None where the answer has a place for logits and left it empty.

    Raises:
        ModelError: nothing in the answer can be the scores.

    Example:
        >>> logits_of({"loss": None, "logits": torch.zeros(2, 10)}).shape
        torch.Size([2, 10])
    """
    if isinstance(answer, Tensor):
        return answer
    members = _members(answer)
    missing = object()
    logits = getattr(answer, "logits", members.get("logits", missing))
    if logits is None or isinstance(logits, Tensor):
        return logits
    if logits is missing and isinstance(answer, tuple | list):
        for item in answer:
            if isinstance(item, Tensor):
                return item
    keys = f" with {', '.join(members)}" if members else ""
    raise ModelError(
        f"no logits in the network's answer: it is a {type(answer).__name__}{keys}. Expected a tensor, a "
        "mapping or an object with 'logits', or a tuple that holds a tensor. Wrap the network so that its "
        "forward returns one of these."
    )


def layer_names(network: nn.Module) -> list[str]:
    """The module paths that `capture` understands, in the network's own order.

    Example:
        >>> layer_names(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))
        ['0', '1']
    """
    names = dict.fromkeys(
        ".".join(part for part in name.split(".") if part != "_orig_mod")
        for name, _ in _inside(network).named_modules(remove_duplicate=False)
    )
    return [name for name in names if name]


def check_layers(network: nn.Module, layers: Sequence[str], *, who: str = "network") -> None:
    """Refuse paths that name no module, before anything runs; members show only in a forward.

    Args:
        network: any module.
        layers: paths, see the top of this file.
        who: what to call the network in messages.

    Raises:
        UnknownName: a module path or a side that does not exist; the nearest ones are named.
    """
    for path in layers:
        _find(network, Place.parse(path), who)


def capture(network: nn.Module, inputs: Any, layers: Sequence[str] = ()) -> Outputs:
    """Run a network once, and return its logits and the named layers.

    Hooks are set for this one call and removed after it, also when it fails: recomputation by
    `torch.utils.checkpoint` during backward does not meet them. A feature is a copy, on the graph, so that a
    later in-place operation (`ReLU(inplace=True)`, `x += shortcut`) does not change it. Where a layer runs
    more than once in a forward (shared modules), its last call is kept.

    A wrapper is called itself, so that gradients synchronise. A compiled network runs compiled when no layer
    is asked for; with layers its uncompiled original runs, on the same parameters.

    Args:
        network: any module; its mode, device and precision are the caller's.
        inputs: see `call`.
        layers: paths, see the top of this file.

    Returns:
        The logits, and a feature for each path, keyed by the path exactly as it came. Logits are None only
        where layers were asked for and the network (a headless backbone) has none.

    Raises:
        UnknownName: a module or a member that does not exist; the nearest ones are named.
        ModelError: a layer that did not run, or gave no tensor; an answer without logits or layers; layers
            under a `DataParallel` over several devices.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True))
        >>> outputs = capture(network, torch.zeros(4, 2), ["0", "1:input"])
        >>> {path: tuple(feature.shape) for path, feature in outputs.features.items()}
        {'0': (4, 3), '1:input': (4, 3)}
    """
    if not layers:
        answer = call(network, inputs)
        return Outputs(_with_classes(logits_of(answer)), head=head_of(answer))
    network = _uncompiled(network)
    _refuse_replicas(network)
    places = [Place.parse(path) for path in layers]
    features: dict[str, Tensor] = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(_eager(network))
        for place in places:
            stack.enter_context(_listening(_find(network, place), place, features))
        answer = call(network, inputs)
    for place in places:
        if place.path not in features:
            raise ModelError(
                f"layer {place.path!r} did not run in this forward. Name a layer that the network calls "
                "(not one that it skips, or whose `.forward` it calls directly)."
            )
    named = {path: features[path] for path in layers}
    return Outputs(_with_classes(_logits_or_none(answer)), named, head=head_of(answer))


def head_of(answer: Any) -> HeadLogits | None:
    """What the logits would be computed from, where a network leaves that to the loss."""
    head = answer.get("head") if isinstance(answer, Mapping) else getattr(answer, "head", None)
    return head if isinstance(head, HeadLogits) else None


@contextlib.contextmanager
def _listening(module: nn.Module, place: Place, features: dict[str, Tensor]) -> Iterator[None]:
    """Note what passes `place`, for as long as the block lasts."""
    with_gradients = torch.is_grad_enabled()

    def note(value: Any, members: Sequence[str]) -> None:
        if with_gradients and not torch.is_grad_enabled():
            warnings.warn(
                f"layer {place.path!r} ran with gradients switched off inside the forward: its feature "
                "carries none. Under torch.utils.checkpoint, set use_reentrant=False.",
                TutelageWarning,
                stacklevel=2,
            )
        features[place.path] = _pick(value, members, place.path).clone()

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        arguments = _Arguments({**_members(args), **kwargs})
        note(arguments, place.members or tuple(arguments)[:1])

    def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        note(output, place.members)

    if place.side == "input":
        handle = module.register_forward_pre_hook(before, with_kwargs=True)
    else:
        handle = module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


class _Arguments(dict[str, Any]):
    """What a module was called with: the positional ones by number, then the others by name."""


def _members(value: Any) -> dict[str, Any]:
    """What can be picked from a value, by name."""
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if isinstance(value, tuple | list):
        numbered = {str(index): item for index, item in enumerate(value)}
        return numbered | {name: getattr(value, name) for name in getattr(value, "_fields", ())}
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {}


def _pick(value: Any, members: Sequence[str], path: str) -> Tensor:
    for name in members:
        legal = _members(value)
        if name not in legal:
            raise UnknownName("member", name, legal, hint=f"It came in {path!r}, for {_kind(value)}.")
        value = legal[name]
    if isinstance(value, Tensor):
        return value
    legal = _members(value)
    pick = f" Pick a member: {', '.join(legal)}." if legal else ""
    raise ModelError(f"layer {path!r} gave {_kind(value)}; expected a tensor.{pick}")


def _kind(value: Any) -> str:
    return "the module's arguments" if isinstance(value, _Arguments) else f"a {type(value).__name__}"


def _with_classes(logits: Tensor | None) -> Tensor | None:
    """One number for each example, [N] or a scalar for one of them, as [N, 1]."""
    return logits if logits is None or logits.ndim > 1 else logits.reshape(-1, 1)


def _logits_or_none(answer: Any) -> Tensor | None:
    try:
        return logits_of(answer)
    except ModelError:
        return None


def _uncompiled(module: nn.Module) -> nn.Module:
    while isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
        module = inner
    return module


def _inside(network: nn.Module) -> nn.Module:
    """The user's network: what a wrapper that holds nothing but a `.module` wraps."""
    network = _uncompiled(network)
    while [name for name, _ in network.named_children()] == ["module"] and not any(
        True for _ in network.parameters(recurse=False)
    ):
        network = _uncompiled(network.get_submodule("module"))
    return network


def _find(network: nn.Module, place: Place, who: str = "network") -> nn.Module:
    if not place.module:
        return _uncompiled(network)
    module: Any = _inside(network)
    for part in place.module.split("."):
        module = getattr(module, part, None)
        if not isinstance(module, nn.Module):
            hint = f"The {who} is a {type(_inside(network)).__name__}."
            raise UnknownName("layer", place.module, layer_names(network), hint=hint)
        module = _uncompiled(module)
    found: nn.Module = module
    return found


def _refuse_replicas(network: nn.Module) -> None:
    if isinstance(network, nn.DataParallel) and len(network.device_ids) > 1:
        raise ModelError(
            f"layers cannot be captured under a DataParallel over {len(network.device_ids)} devices: each "
            "replica would overwrite the others. Use DistributedDataParallel, or one device."
        )


def _eager(network: nn.Module) -> contextlib.AbstractContextManager[Any]:
    """Switch compiled parts of a network off: code compiled before a hook was set does not call it."""
    if "torch._dynamo" not in sys.modules:
        return contextlib.nullcontext()
    for module in network.modules():
        in_place = getattr(module, "_compiled_call_impl", None) is not None
        if in_place or _uncompiled(module) is not module:
            eager: contextlib.AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
            return eager
    return contextlib.nullcontext()
