"""Frames of pandas and polars: rows of words, numbers, dates and gaps, made readable for a network.

The student reads encoded rows, by a preprocessing that is fitted on the training rows alone and kept beside
its weights; a forest or a booster reads the rows as they came.
"""

from tutelage.data.frames.columns import Columns, is_frame
from tutelage.data.frames.encoding import Encoding
from tutelage.data.frames.labels import known_labels, read_labels
from tutelage.data.frames.rows import FrameRows, RawRows, Table

__all__ = ["Columns", "Encoding", "FrameRows", "RawRows", "Table", "is_frame", "known_labels", "read_labels"]
