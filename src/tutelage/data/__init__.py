"""Where examples come from and in which order they come.

A `Source` gives batches by example number; `Loader` asks it in an order that depends on the seed and the
epoch alone, and cuts each global batch into the parts of processes and micro-batches.
"""

from tutelage.data.batches import as_batch, check_labels, reading
from tutelage.data.cast import Cast
from tutelage.data.changed_labels import ChangedLabels
from tutelage.data.classes import of_classes
from tutelage.data.drawn import Drawn, read_weights, weights_by_class
from tutelage.data.gaps import gaps_of
from tutelage.data.keys import keys_of
from tutelage.data.loader import Loader, Views, view_of
from tutelage.data.noise import Noise
from tutelage.data.over import Over
from tutelage.data.random import normal, uniform
from tutelage.data.relabelled import Relabelled
from tutelage.data.showing import Showing, TeacherSees, is_steady
from tutelage.data.source_of import source_of
from tutelage.data.sources import Examples, Items, Source, Subset
from tutelage.data.splits import fraction_of, split
from tutelage.data.tables import load_tables, values_of
from tutelage.data.tokens import Convention
from tutelage.data.unlabelled import Unlabelled

__all__ = [
    "Cast",
    "ChangedLabels",
    "Convention",
    "Drawn",
    "Examples",
    "Items",
    "Loader",
    "Noise",
    "Over",
    "Relabelled",
    "Showing",
    "Source",
    "Subset",
    "TeacherSees",
    "Unlabelled",
    "Views",
    "as_batch",
    "check_labels",
    "fraction_of",
    "gaps_of",
    "is_steady",
    "keys_of",
    "load_tables",
    "normal",
    "of_classes",
    "read_weights",
    "reading",
    "source_of",
    "split",
    "uniform",
    "values_of",
    "view_of",
    "weights_by_class",
]
