"""Plain data as text: YAML as people mean it and JSON, within limits, and no key twice."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

__all__ = ["MOST_CHARACTERS", "parse_json", "read_yaml"]

MOST_CHARACTERS = 2_000_000
_MOST_VALUES, _DEEPEST = 100_000, 60
_BOOL, _FLOAT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:float"


class _AsMeant:
    """YAML as people mean it, and as its version 1.2 says: `on` and `no` are words, `1e-3` is a number."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the parent has it
        first: [(tag, pattern) for tag, pattern in known if tag != _BOOL]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse a key that came twice, before what is merged (`<<`) may repeat it."""
        if not getattr(node, "looked_at", False):
            node.looked_at = True  # type: ignore[attr-defined]
            seen: dict[tuple[str, str], Any] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                if (key.tag, key.value) in seen and key.value != "<<":
                    first = seen[key.tag, key.value].line + 1
                    raise yaml.YAMLError(
                        f"the key {key.value!r} came twice, in lines {first} and {key.start_mark.line + 1}; "
                        "keep one"
                    )
                seen[key.tag, key.value] = key.start_mark
        super().flatten_mapping(node)  # type: ignore[misc]


class _Plain(_AsMeant, yaml.SafeLoader):
    """In Python; its errors show the line."""


class _Fast(_AsMeant, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Eight times as fast, where PyYAML came with libyaml."""


for _loader in (_Plain, _Fast):
    _loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
    _loader.add_implicit_resolver(
        _FLOAT, re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
    )


def read_yaml(text: str) -> Any:
    """Plain data from YAML.

    Raises:
        yaml.YAMLError: it is not YAML, has a key twice, or is longer, deeper or, once its aliases are written
            out, larger than any recipe.
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"it has {len(text):,} characters; expected {MOST_CHARACTERS:,} at most")
    try:
        return _read(text, _Fast)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        return _read_slowly(text)


def _read_slowly(text: str) -> Any:
    try:
        return _read(text, _Plain)
    except (ValueError, OverflowError, RecursionError) as error:  # a date of day 99, a number of 5,000 digits
        raise yaml.YAMLError(f"a value in it cannot be read: {error}") from error


def _read(text: str, loader: Any) -> Any:
    _check_size(text, loader)
    return yaml.load(text, Loader=loader)  # noqa: S506 - both are safe loaders


def _check_size(text: str, loader: Any) -> None:
    """Count what the text would become, without making it."""
    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []  # anchors of what is open, and how much there was before
    total = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in {anchor for anchor, _ in open_}:
                raise yaml.YAMLError(f"the alias *{event.anchor} stands within what it names")
            total += sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, total))
            total += 1
            if len(open_) > _DEEPEST:
                raise yaml.YAMLError(f"it is nested deeper than {_DEEPEST} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor:
                sizes[anchor] = total - before
        if total > _MOST_VALUES:
            raise yaml.YAMLError(
                f"it holds more than {_MOST_VALUES:,} values once its aliases are written out"
            )


def parse_json(text: str | bytes) -> Any:
    """Data from JSON; one that is nested too deep is as wrong as one that is cut short.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
