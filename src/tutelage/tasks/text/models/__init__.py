"""Networks for sentences, each a plain function of keywords."""

from tutelage.tasks.text.models.bert import bert
from tutelage.tasks.text.models.bilstm import bilstm
from tutelage.tasks.text.models.sentence_encoder import sentence_encoder
from tutelage.tasks.text.models.transformers_encoder import transformers_encoder

__all__ = ["bert", "bilstm", "sentence_encoder", "transformers_encoder"]
