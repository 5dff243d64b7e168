"""Which operator a translation stumbled over, and the layer that calls it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import torch

from tutelage.traced.quiet import quiet
from tutelage.traced.trace import first_line

__all__ = ["layer_of", "said_of"]

_TARGET = re.compile(r"target=torch\.ops\.([\w.]+)\]")
_OVERLOAD = re.compile(r"OpOverload\(op='([\w.]+)', overload='(\w+)'\)")


def said_of(program: torch.export.ExportedProgram, error: BaseException) -> str:
    """What an exporter could not do, in a sentence: the operator, and the layer that calls it.

    Args:
        program: what was to be translated.
        error: what the exporter raised; that it was raised from is looked at too.
    """
    for each in _causes(error):
        if found := _named(str(each)):
            layer = layer_of(program, found)
            return f"it has none for the operator {found}" + (f", which {layer} calls" if layer else "")
    return first_line(error if isinstance(error, Exception) else Exception(str(error)))


def layer_of(program: torch.export.ExportedProgram, operator: str) -> str | None:
    """The layer that calls an operator, by its path and class; None where none is known to.

    Args:
        program: whose graph; operators that it is made of by decomposition are found as well.
        operator: such as `aten.special_i1e.default`.
    """
    with quiet():  # the exporter takes operators apart, and names what it found in them
        for graph in _graphs(program):
            for node in graph.nodes:
                if node.op == "call_function" and str(node.target) == operator:
                    stack = list((node.meta.get("nn_module_stack") or {}).values())
                    if stack:
                        return _told(*stack[-1])
    return None


def _graphs(program: torch.export.ExportedProgram) -> Iterator[Any]:
    yield program.graph
    for table in (None, dict(torch._decomp.decomposition_table)):
        with contextlib.suppress(Exception):  # it is only asked for a name
            yield program.run_decompositions(table).graph


def _told(path: str, kind: Any) -> str:
    """`body.odd (Odd)`: without the wrapper that answers logits."""
    inner = path.removeprefix("network").removeprefix(".")
    name = str(getattr(kind, "__qualname__", kind)).rpartition(".")[2]
    return f"the layer {inner} ({name})" if inner else f"the network itself ({name})"


def _named(said: str) -> str | None:
    if found := _TARGET.search(said):
        return found[1]
    if found := _OVERLOAD.search(said):
        return f"{found[1]}.{found[2]}"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
