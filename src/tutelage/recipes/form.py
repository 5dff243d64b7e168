"""Keys that are known, and names with settings: what every part of a recipe is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from tutelage.engine import complaints, name_and_settings
from tutelage.errors import RecipeError, UnknownName

__all__ = ["Named", "NamedField", "Spec", "as_plain", "checked", "named"]


class Spec(BaseModel):
    """A mapping with known keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, came: Any) -> Any:
        if isinstance(came, Mapping) and cls.model_config.get("extra") == "forbid":
            for key in came:
                if key not in cls.model_fields:
                    raise UnknownName("key", str(key), cls.model_fields)
        return came


_Kind = TypeVar("_Kind", bound=Spec)


def checked(kind: type[_Kind], came: Any, where: str) -> _Kind:
    """Plain data as a spec of that kind.

    Args:
        kind: the class.
        came: a mapping.
        where: what to call the place in messages.

    Raises:
        RecipeError: says where, what came and what was expected.
    """
    try:
        return kind.model_validate(came)
    except ValidationError as error:
        raise RecipeError(f"{where}: {complaints(error)}") from error


class Named(BaseModel):
    """A name and its settings, written `{name: {setting: value}}`, or `name` alone."""

    model_config = ConfigDict(frozen=True)

    name: str
    settings: dict[str, Any] = Field(default_factory=dict)


def named(came: Any) -> Named:
    """A name and its settings, from any of the ways to write them."""
    return came if isinstance(came, Named) else Named.model_validate(_named(came))


def _named(came: Any) -> Any:
    if isinstance(came, Named):
        return came
    name, settings = name_and_settings(came)
    return {"name": name, "settings": settings}


def as_plain(held: Named) -> Any:
    """As it is written: `{name: {setting: value}}`."""
    return {held.name: held.settings}


NamedField = Annotated[Named, BeforeValidator(_named), PlainSerializer(as_plain)]
