"""Forms by the names that recipes and the command line give them."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.answers.forms.dense import Dense
from tutelage.answers.forms.form import Form
from tutelage.answers.forms.sampled import Sampled
from tutelage.answers.forms.topk import TopK
from tutelage.errors import RecipeError, UnknownName

__all__ = ["form_of"]


def form_of(text: str, *, temperatures: Sequence[float] = (1.0,)) -> Form:
    """Read a form: `dense:float16`, `topk:64`, `topk:64:bare`, `sampled:12`, with `@1,4` for temperatures.

    Args:
        text: the form.
        temperatures: those of use, where the text names none.

    Raises:
        RecipeError, UnknownName: it says what is expected.

    Example:
        >>> form_of("topk:64@1,4").text, form_of("sampled:12", temperatures=[2.0]).text
        ('topk:64@1,4', 'sampled:12@2')
    """
    head, _, at = text.partition("@")
    name, *settings = head.split(":")
    try:
        _check_settings(name, settings, at)
        held = [float(each) for each in at.split(",")] if at else list(temperatures)
        if name == "dense":
            return Dense(settings[0] if settings else "float32")  # type: ignore[arg-type]
        if name == "topk":
            return TopK(int(settings[0]), temperatures=held, tails=settings[1:] != ["bare"])
        if name == "sampled":
            return _sampled(int(settings[0]), held)
    except (IndexError, ValueError) as error:
        if isinstance(error, RecipeError | UnknownName):
            raise
        raise RecipeError(
            f"the form came as {text!r}; expected dense:float16, topk:64@1,4 or sampled:12@1"
        ) from error
    raise UnknownName("form of answers", name, ("dense", "topk", "sampled"))


def _check_settings(name: str, settings: Sequence[str], at: str) -> None:
    """Refuse settings that a form does not have."""
    right = {
        "dense": len(settings) <= 1 and not at,
        "topk": list(settings[1:]) in ([], ["bare"]),
        "sampled": len(settings) == 1,
    }
    if not right.get(name, True):
        raise ValueError(f"{name} has no such settings: {settings} {at}")


def _sampled(draws: int, temperatures: Sequence[float]) -> Sampled:
    if len(set(temperatures)) != 1:
        raise RecipeError(
            f"a sample is drawn for one temperature, and {sorted(set(temperatures))} are to be used; keep "
            "topk with tails, or dense answers"
        )
    return Sampled(draws, temperature=temperatures[0])
