"""Networks for sentences, each a plain function of keywords."""

from tutelage.tasks.text.models.bert import bert
from tutelage.tasks.text.models.bilstm import bilstm
from tutelage.tasks.text.models.sentence_encoder import sentence_encoder
from tutelage.tasks.text.models.transformer import transformer
from tutelage.tasks.text.models.transformers_encoder import transformers_encoder
from tutelage.tasks.text.models.transformers_seq2seq import transformers_seq2seq

__all__ = [
    "bert",
    "bilstm",
    "sentence_encoder",
    "transformer",
    "transformers_encoder",
    "transformers_seq2seq",
]
