"""A teacher's answers on disk: written once, read by what the teacher was shown.

`Form` says how logits are kept, `Manifest` and `ShardRecord` what a folder holds, `Answers` reads it, and
`budget` says what a form costs before anything is stored. The files are plain safetensors and JSON.
`Texts` reads what a teacher wrote itself, from Parquet.
"""

from tutelage.answers.budget import (
    Candidate,
    FormError,
    candidates,
    choose,
    error_of,
    read_bytes,
    redrawn,
    spread_log_probs,
)
from tutelage.answers.forms import Dense, Form, Sampled, TopK, form_of
from tutelage.answers.manifest import ABOUT, Manifest, read_about, write_about
from tutelage.answers.places import Place
from tutelage.answers.prompts import Prompt, Sampling
from tutelage.answers.shards import Shard, ShardRecord, columns_of, damage, read_record, write_shard
from tutelage.answers.store import Answers
from tutelage.answers.texts import Text, Texts, holds_text, write_texts

__all__ = [
    "ABOUT",
    "Answers",
    "Candidate",
    "Dense",
    "Form",
    "FormError",
    "Manifest",
    "Place",
    "Prompt",
    "Sampled",
    "Sampling",
    "Shard",
    "ShardRecord",
    "Text",
    "Texts",
    "TopK",
    "candidates",
    "choose",
    "columns_of",
    "damage",
    "error_of",
    "form_of",
    "holds_text",
    "read_about",
    "read_bytes",
    "read_record",
    "redrawn",
    "spread_log_probs",
    "write_about",
    "write_shard",
    "write_texts",
]
