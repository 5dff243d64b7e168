"""Recordings with images beside them: what one network hears, and another sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from tutelage.data import Examples, Source, load_tables
from tutelage.errors import DataError, UnknownName
from tutelage.tasks.classification import choose_column, class_names_of, classes, labels_of, three_parts
from tutelage.tasks.paired.albums import Album, albums_of, scaled_image
from tutelage.tasks.paired.pairing import Anew, picks
from tutelage.tasks.paired.waves import sounds_of
from tutelage.tasks.problem import Problem
from tutelage.types import Batch

__all__ = ["sounds"]

_IMAGE = ("image", "img", "images", "pixel_values")
_SOUND = ("audio", "sound", "wave", "speech")
_LABEL = ("label", "labels", "target", "class")
_PARTS = ("image", "sound")
_READS = {"teacher": ["image"], "student": ["sound"]}


def sounds(
    *,
    data: str,
    images: str,
    reads: Mapping[str, Sequence[str]] | None = None,
    sound: str | None = None,
    image: str | None = None,
    label: str | None = None,
    seconds: float = 1.0,
    pool: float | int | None = None,
    validation: float | int = 0.15,
    test: float | int = 0.25,
    watch: Sequence[int] = (),
    seed: int = 0,
) -> Problem:
    """Recordings with one class each, and beside each an image of the same class from another data set.

    As a video has a picture and a sound: they come together, and nobody says what they show. The pairs are
    made here from two data sets, for which the class of each recording is needed; who is taught sees it where
    it has a label, and nowhere else. By default the pairs are fixed, drawn from the recording's number;
    `augment: {images: anew}` in a stage pairs each recording with another image in each epoch. Validation and
    test have images of their own, which training never shows.

    The inputs of a batch are `image` [N, 1, height, width], from −1 to 1, and `sound` [N, samples], from −1
    to 1. Networks are told `num_classes`, `in_channels`, and the `rate` of the recordings in hertz.

    Args:
        data: of recordings in WAV: a local folder or file (Parquet), or a name on the hub.
        images: of grey images of one size, likewise, whose classes have the same numbers.
        reads: `teacher`, `student`, or the name of another network -> which of `image` and `sound` it reads;
            by default the teacher sees and the student hears.
        sound, image, label: the columns; found by their usual names.
        seconds: the length of each recording; longer ones are cut, shorter ones end in silence.
        pool: the share or number of training images to pair with, drawn by class; None for all.
        validation, test: the share or number of recordings to draw where the set has no such split; images
            have a tenth taken for validation, and a tenth for a test set that is not there.
        watch: classes whose recall is reported by itself.
        seed: of the splits and the pairs.

    Raises:
        UnknownName: a column or an input that is not there.
        DataError: what is no recording or no grey image; a class without an image.

    Source: Gupta, Hoffman & Malik, Cross Modal Distillation for Supervision Transfer, 2016, for a teacher and
        a student of two modalities on pairs without labels. Differences: their pairs come from one sensor of
        both, here they are made.
    """
    reads = _checked(reads or _READS)
    recordings, pictures = load_tables(data), load_tables(images)
    table, seen = (next(iter(found.values())) for found in (recordings, pictures))
    sound = choose_column(table, sound, "sound", _SOUND)
    label = choose_column(table, label, "label", _LABEL)
    image = choose_column(seen, image, "image", _IMAGE)
    column = choose_column(seen, None, "label", _LABEL)
    names = class_names_of(table, label)
    rates: set[int] = set()

    def read(part: Any, where: str) -> Source:
        rate, waves = sounds_of(part, sound, seconds)
        rates.add(rate)
        return Examples(waves, labels_of(part, label), num_classes=len(names), where=where)

    parts = three_parts(recordings, read, validation=validation, test=test, seed=seed)
    if len(rates) > 1:
        raise DataError(f"the splits of {data!r} have recordings of {sorted(rates)} hertz; bring them to one")
    albums = albums_of(pictures, image, column, pool=pool, seed=seed)
    train, *rest = (part.batch(range(len(part))) for part in parts)
    shown = albums[0].pixels(range(len(albums[0])))
    anew = Anew(shown, albums[0].classes, train.labels, prepare=scaled_image)
    first = picks(train.ids, train.labels, albums[0].classes, seed=seed, draw="image")
    return classes(
        _pairs(shown[first], train),
        *(_with_album(batch, album, seed) for batch, album in zip(rest, albums[1:], strict=True)),
        class_names=names,
        watch=watch,
        augment=anew.of,
        network_options={"num_classes": len(names), "in_channels": 1, "rate": rates.pop()},
        reads={who: tuple(held) for who, held in reads.items()},
    )


def scaled(inputs: Any) -> Any:
    """Stored bytes and 16-bit samples -> what networks read, from −1 to 1."""
    return {"image": scaled_image(inputs["image"]), "sound": inputs["sound"].float() / 32768}


def _with_album(batch: Batch, album: Album, seed: int) -> Examples:
    """Recordings beside images of an album; only those that are picked are decoded."""
    found = picks(batch.ids, batch.labels, album.classes, seed=seed, draw="image")
    return _pairs(album.pixels(found.tolist()), batch)


def _pairs(images: Tensor, batch: Batch) -> Examples:
    return Examples({"image": images, "sound": batch.inputs}, batch.labels, prepare=scaled)


def _checked(reads: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """What each network reads, if that is there."""
    for who, names in reads.items():
        for name in names:
            if name not in _PARTS:
                raise UnknownName("input", name, _PARTS, hint=f"It is what task.reads.{who} names.")
    return reads
