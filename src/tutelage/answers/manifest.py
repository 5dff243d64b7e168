"""The first page of a folder of answers: what it holds, and of whom."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from tutelage.answers.places import Place
from tutelage.answers.shards import ShardRecord, checked_record, read_record
from tutelage.errors import AnswersError
from tutelage.files import seal, unseal
from tutelage.trust import parse_json

__all__ = ["ABOUT", "TEXT", "Manifest", "read_about", "write_about"]

_FORMAT = "tutelage.answers.1"
_MANIFEST = "manifest.json"
_WORDS = {
    "compressed": "compression (--compress)",
    "features": "the layers that are kept",
    "shard_examples": "the size of shards (--shard-size)",
    "num_shards": "the number of shards",
    "planned": "the number of answers",
    "num_classes": "the number of classes",
    "views": "the views that are shown",
    "drawn": "how text is drawn (--top-p, --seed, --samples)",
}
_OF_FORM = ("shard_examples", "num_shards", "drawn")
ABOUT = "about.json"
"""What else is known of answers; it differs from one labelling to the next."""
TEXT = "text:"
"""How the form of answers begins that are text, and no logits."""


@dataclass(frozen=True)
class Manifest:
    """What a store holds, and of whom.

    Args:
        teacher: a fingerprint of the teacher.
        data: name of a split -> its fingerprint.
        views: how training examples were changed, and the seeds of the views that were shown; empty where
            they were shown as they are.
        drawn: how text was drawn, where answers are text.
        planned: how many answers there will be.
        shard_examples: how many of them a shard holds, before it is brought to whole batches.
        precision: of the teacher's forward passes.
        compressed: shards are compressed by gzip.
        form: how logits are kept, as `form_of` reads it; or that they are text.
        num_classes: the width of the logits.
        features: layer -> dtype of what is kept of it.
        num_shards: how many there will be.
        examples, rows, nbytes: of all shards, once it is complete; of text, a row is a token.
        shards: their records, once it is complete.
    """

    teacher: str
    data: Mapping[str, str]
    form: str
    num_classes: int
    num_shards: int
    views: Mapping[str, Any] = field(default_factory=dict)
    drawn: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, str] = field(default_factory=dict)
    planned: int = 0
    shard_examples: int = 0
    precision: str = "float32"
    compressed: bool = False
    examples: int = 0
    rows: int = 0
    nbytes: int = 0
    shards: Sequence[ShardRecord] = ()

    @property
    def complete(self) -> bool:
        """Whether every shard is there."""
        return len(self.shards) == self.num_shards

    @property
    def is_text(self) -> bool:
        """Whether the answers are text that a teacher wrote, and no logits."""
        return self.form.startswith(TEXT)

    def begin(self, place: Place) -> None:
        """Put the manifest where the answers will be, or take up what is there.

        Raises:
            AnswersError: answers of another teacher, other data or another form lie there.
        """
        if place.exists(_MANIFEST):
            held = Manifest.read(place)
            ours = self.promise()
            differ = [name for name, value in held.promise().items() if value != ours[name]]
            if differ:
                raise AnswersError(
                    f"{place.url} holds {'other text' if held.is_text else 'other answers'}: they differ in "
                    f"{_said(differ, held, self)}; choose another folder (--out), or delete that one"
                )
            return
        self._write(place)

    def finish(self, place: Place) -> Manifest:
        """List the shards, now that all are there.

        Raises:
            AnswersError: some are missing.
        """
        found = [read_record(place, number) for number in range(self.num_shards)]
        records = [record for record in found if record is not None]
        if len(records) < self.num_shards:
            missing = [number for number, record in enumerate(found) if record is None]
            raise AnswersError(f"{place.url} lacks shards {missing[:8]}; make the same call again to go on")
        examples = sum(record.examples for record in records)
        if self.planned not in (0, examples):
            raise AnswersError(
                f"{place.url} holds {examples:,} answers where {self.planned:,} were planned: shards of "
                "another plan lie among them; delete it, and label again"
            )
        whole = replace(
            self,
            shards=records,
            examples=sum(record.examples for record in records),
            rows=sum(record.rows for record in records),
            nbytes=sum(record.nbytes for record in records),
        )
        whole._write(place)
        return whole

    def promise(self) -> dict[str, Any]:
        """What was said before the first answer: the same for those who go on with it."""
        counted = ("examples", "rows", "nbytes", "shards")
        names = [one.name for one in fields(self) if one.name not in counted]
        return json.loads(json.dumps({name: getattr(self, name) for name in names}))  # type: ignore[no-any-return]

    def _write(self, place: Place) -> None:
        held = asdict(replace(self, shards=list(self.shards)))
        place.write(_MANIFEST, (json.dumps(seal({"format": _FORMAT} | held), indent=1) + "\n").encode())

    @staticmethod
    def read(place: Place) -> Manifest:
        """The manifest of a folder.

        Raises:
            AnswersError: there is none, or it is not ours.
        """
        try:
            held = unseal(parse_json(place.read(_MANIFEST)))
        except OSError as error:
            raise AnswersError(
                f"there are no answers at {place.url} (no {_MANIFEST}); `tutelage label` makes them"
            ) from error
        except ValueError as error:
            raise AnswersError(
                f"{place.url}/{_MANIFEST} is damaged ({error}); restore it from a copy"
            ) from error
        if not isinstance(held, dict) or held.pop("format", None) != _FORMAT:
            raise AnswersError(f"{place.url}/{_MANIFEST} is not of the format {_FORMAT}; label again")
        return _checked(held, f"{place.url}/{_MANIFEST}")


def read_about(place: Place) -> dict[str, Any]:
    """What else was noted of answers; empty where nothing was.

    Raises:
        AnswersError: the note is damaged.
    """
    if not place.exists(ABOUT):
        return {}
    try:
        return dict(unseal(parse_json(place.read(ABOUT))))
    except (ValueError, TypeError) as error:
        raise AnswersError(
            f"{place.url}/{ABOUT} is damaged ({error}); delete it, and make the same call of label or write "
            "again"
        ) from error


def write_about(place: Place, about: Mapping[str, Any]) -> None:
    """Note what else is known of answers."""
    place.write(ABOUT, (json.dumps(seal(about), indent=1) + "\n").encode())


def _checked(held: Mapping[str, Any], where: str) -> Manifest:
    """A manifest whose every value is of its kind, and whose files lie below it.

    Raises:
        AnswersError: one is not.
    """
    kinds = {"str": str, "int": int, "bool": bool, "Mapping": Mapping, "Sequence": list}
    known = {one.name: kinds[str(one.type).partition("[")[0]] for one in fields(Manifest)}
    wrong = [
        name
        for name in {*held, "teacher", "data", "form", "num_classes", "num_shards"}
        if name not in known or not isinstance(held.get(name), known[name])
    ]
    if wrong:
        raise AnswersError(f"{where} is damaged, or of another version, in {', '.join(sorted(wrong))}")
    counts = ("num_classes", "num_shards", "planned", "examples", "rows", "nbytes")
    if any(int(held.get(name, 0)) < 0 for name in counts):
        raise AnswersError(f"{where} counts below 0; restore it from a copy")
    return Manifest(**{**held, "shards": [checked_record(one, where) for one in held.get("shards", [])]})


def _said(differ: Sequence[str], held: Manifest, ours: Manifest) -> str:
    """In what two manifests differ; what follows from another form is left out."""
    if "form" in differ:
        differ = [name for name in differ if name not in _OF_FORM]
    words = dict.fromkeys(_WORDS.get(name, name) for name in differ)
    return ", ".join(f"form ({held.form}, and now {ours.form})" if word == "form" else word for word in words)
