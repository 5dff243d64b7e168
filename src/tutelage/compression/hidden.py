"""Which linear layers of a network are hidden, and which others read their units."""

from __future__ import annotations

from collections import Counter

from torch import fx, nn

__all__ = ["hidden_layers"]

_MODULES = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU, nn.ELU, nn.Dropout, nn.Identity)
_FUNCTIONS = {"relu", "gelu", "silu", "tanh", "sigmoid", "leaky_relu", "elu", "dropout"}
"""What works on each unit by itself, so that a unit can be taken out on both sides of it."""


def hidden_layers(network: nn.Module) -> dict[str, list[str]]:
    """Linear layers whose units are read by linear layers alone -> those that read them, by path.

    What reads what is found by tracing the forward pass with `torch.fx`; where a whole network cannot be
    traced, its parts are, each by itself. A condition on the data is taken not to hold, as that of a check of
    shapes.

    Args:
        network: any module.

    Example:
        >>> hidden_layers(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)))
        {'0': ['2']}
    """
    graph = _traced(network)
    if graph is not None:
        return _found(graph, dict(network.named_modules(remove_duplicate=False)))
    return {
        f"{name}.{path}": [f"{name}.{reader}" for reader in readers]
        for name, part in network.named_children()
        for path, readers in hidden_layers(part).items()
    }


class _Tracer(fx.Tracer):
    def to_bool(self, obj: fx.Proxy) -> bool:  # noqa: ARG002
        return False


def _traced(network: nn.Module) -> fx.Graph | None:
    """The graph of a forward pass; None for one that cannot be traced, or is none of Python."""
    try:
        return _Tracer().trace(network)
    except Exception:  # a forward may fail in any way on what is no tensor
        return None


def _found(graph: fx.Graph, modules: dict[str, nn.Module]) -> dict[str, list[str]]:
    calls = Counter(id(modules[str(node.target)]) for node in graph.nodes if node.op == "call_module")
    found = {}
    for node in graph.nodes:
        module = modules[str(node.target)] if node.op == "call_module" else None
        if isinstance(module, nn.Linear):
            readers = _readers(node, modules)
            once = all(calls[id(modules[path])] == 1 for path in (str(node.target), *(readers or ())))
            if readers and once:
                found[str(node.target)] = readers
    return found


def _readers(node: fx.Node, modules: dict[str, nn.Module]) -> list[str] | None:
    """The linear layers that read what a node gives; None where anything else does."""
    found: list[str] = []
    for user in node.users:
        module = modules[str(user.target)] if user.op == "call_module" else None
        if isinstance(module, nn.Linear):
            found.append(str(user.target))
            continue
        inner = _readers(user, modules) if isinstance(module, _MODULES) or _by_unit(user) else None
        if inner is None:
            return None
        found += inner
    return found


def _by_unit(node: fx.Node) -> bool:
    """Whether a node is a function or a method of torch that works on each unit by itself."""
    if node.op == "call_method":
        return str(node.target) in _FUNCTIONS
    named = getattr(node.target, "__name__", ""), str(getattr(node.target, "__module__", ""))
    return node.op == "call_function" and named[0] in _FUNCTIONS and named[1].startswith("torch")
