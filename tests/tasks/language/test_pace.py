import torch
from torch import nn

from tutelage.tasks.language.models.transformers_causal import transformers_causal
from tutelage.tasks.language.pace import Pace

CPU = torch.device("cpu")


def network(layers=2, **settings):
    sizes = {"hidden_size": 16, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 32}
    config = {"model_type": "llama", "vocab_size": 32, "num_hidden_layers": layers, **sizes}
    return transformers_causal(config=config, length=48, **settings)


def test_keys_and_values_of_a_token_are_counted_and_the_network_is_left_as_it_was():
    student = network(layers=2).train()
    found = Pace(48, new=4)({"student": student, "teacher": network(layers=3, head=True)}, CPU)
    one = 2 * 2 * 4 * 4  # keys and values, heads, numbers of a head, bytes
    assert found["student"]["cache_bytes_per_token"] == 2 * one
    assert found["teacher"]["cache_bytes_per_token"] == 3 * one
    assert all(entry["first_token_ms"] > 0 and entry["tokens_per_second"] > 0 for entry in found.values())
    assert student.training


def test_a_network_that_does_not_write_is_left_out():
    assert Pace(48)({"student": nn.Linear(2, 2)}, CPU) == {}


def test_a_prompt_and_what_follows_fit_into_short_rows():
    assert Pace(6)({"student": network()}, CPU)["student"]["tokens_per_second"] > 0
