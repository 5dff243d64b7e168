"""What is searched: a key, and the values that it may have."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tutelage.errors import RecipeError
from tutelage.recipes.load import read_value

if TYPE_CHECKING:
    import optuna

__all__ = ["Knob", "read_knob", "read_search"]

_RANGE = re.compile(r"^\s*([^|:\s]+?)\.\.([^|:\s]+)((?::\w+)*)\s*$")
_WIDE = 100.0
"""From this ratio of its ends on, a range above zero is searched by its logarithm."""

_DIGITS = 4
_EXPECTED = (
    "a range lo..hi, with :log, :linear or :int behind it, or choices a|b|c; in Python (lo, hi), "
    "(lo, hi, 'log'), or a list of choices"
)


@dataclass(frozen=True)
class Knob:
    """A key and the values that it may have.

    Args:
        key: a dotted path in a recipe, or an argument of `distill`.
        low: the least value of a range.
        high: the greatest.
        log: search the range by its logarithm.
        whole: whole numbers alone.
        choices: the values, where there is no range.
    """

    key: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False
    choices: Sequence[Any] = ()

    def suggest(self, trial: optuna.Trial) -> Any:
        """The value of a trial: the one it has, or a new one. Numbers have four significant digits."""
        if self.choices:
            return json.loads(trial.suggest_categorical(self.key, [json.dumps(one) for one in self.choices]))
        if self.whole:
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)
        return self._short(trial.suggest_float(self.key, self.low, self.high, log=self.log))

    def read(self, params: Mapping[str, Any]) -> Any:
        """The value among a trial's parameters."""
        held = params[self.key]
        if self.choices:
            return json.loads(held)
        return int(held) if self.whole else self._short(held)

    def stored(self, value: Any) -> Any:
        """A value as a trial's parameter; None for one that this knob does not have."""
        if self.choices:
            return json.dumps(value) if value in self.choices else None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if number and self.low <= value <= self.high else None

    def inside(self) -> list[Any]:
        """Two different values, of a range of fractions none of its ends: to see what a knob changes."""
        if self.choices:
            return [self.choices[0], self.choices[-1]]
        if self.whole:
            return [int(self.low), int(self.high)]
        step = (self.high - self.low) / 3
        return [self._short(self.low + step), self._short(self.low + 2 * step)]

    def said(self) -> str:
        """As it is written on the command line.

        Example:
            >>> Knob("lr", 0.001, 0.1, log=True).said()
            '0.001..0.1:log'
        """
        if self.choices:
            return "|".join(json.dumps(one) for one in self.choices)
        kind = (":log" if self.log else "") + (":int" if self.whole else "")
        return f"{self.low:g}..{self.high:g}{kind}"

    def _short(self, value: float) -> float:
        return min(self.high, max(self.low, float(f"{value:.{_DIGITS}g}")))


def read_search(came: Mapping[str, Any] | Sequence[str]) -> dict[str, Knob]:
    """A search space, from a mapping or from `key=values` texts.

    Raises:
        RecipeError: an entry that says no values.
    """
    pairs = list(came.items()) if isinstance(came, Mapping) else [_pair(each) for each in came]
    found: dict[str, Knob] = {}
    for key, values in pairs:
        if key in found:
            raise RecipeError(f"search: {key} came twice; give it once")
        found[key] = read_knob(key, values)
    return found


def read_knob(key: str, came: Any) -> Knob:
    """A knob from any of the ways to write its values.

    Args:
        key: its path.
        came: `"1..16:log"`, `"a|b|c"`, `(1, 16)`, `(1, 16, "log")`, or a list of choices.

    Raises:
        RecipeError: no values, or a range upside down.

    Example:
        >>> read_knob("temperature", "1..16:log")
        Knob(key='temperature', low=1.0, high=16.0, log=True, whole=False, choices=())
        >>> read_knob("epochs", (5, 20, "int")).said()
        '5..20:int'
    """
    if isinstance(came, Knob):
        return came
    if isinstance(came, str):
        found = _RANGE.match(came)
        if found is None:
            return _choices(key, [read_value(each, f"search {key}") for each in came.split("|")], came)
        low, high = (read_value(each, f"search {key}") for each in found.groups()[:2])
        return _range(key, low, high, [each for each in found[3].split(":") if each], came)
    if isinstance(came, tuple) and len(came) >= 2 and all(isinstance(each, str) for each in came[2:]):
        return _range(key, came[0], came[1], list(came[2:]), came)
    if isinstance(came, list):
        return _choices(key, came, came)
    raise RecipeError(f"search {key}: came {came!r}; expected {_EXPECTED}")


def _pair(text: str) -> tuple[str, str]:
    key, sign, values = text.partition("=")
    if not sign or not key or not values:
        raise RecipeError(f"--search came as {text!r}; expected KEY=VALUES, where VALUES are {_EXPECTED}")
    return key.strip(), values


def _range(key: str, low: Any, high: Any, kinds: list[str], came: Any) -> Knob:
    unknown = [kind for kind in kinds if kind not in ("log", "linear", "int")]
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (low, high))
    if unknown or not numbers or ("log" in kinds and "linear" in kinds):
        raise RecipeError(f"search {key}: came {came!r}; expected {_EXPECTED}")
    if low >= high:
        raise RecipeError(
            f"search {key}: the range {came!r} runs from {low:g} to {high:g}; write the smaller number first"
        )
    if "log" in kinds and low <= 0:
        raise RecipeError(f"search {key}: the range {came!r} has no logarithm at {low:g}; begin above 0")
    whole = "int" in kinds
    if whole and (int(low) != low or int(high) != high):
        raise RecipeError(f"search {key}: the range {came!r} is of whole numbers; give whole ends")
    log = "log" in kinds or ("linear" not in kinds and low > 0 and high / low >= _WIDE)
    return Knob(key, float(low), float(high), log, whole)


def _choices(key: str, values: list[Any], came: Any) -> Knob:
    try:
        texts = [json.dumps(each) for each in values]
    except TypeError as error:
        raise RecipeError(
            f"search {key}: {error}; choices are plain data: numbers, words, mappings"
        ) from error
    if len(set(texts)) < 2 or len(set(texts)) < len(texts):
        raise RecipeError(
            f"search {key}: came {came!r}; two or more different values are needed: {_EXPECTED}"
        )
    return Knob(key, choices=tuple(values))
