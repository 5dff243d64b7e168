"""Translation: both sides by one tokenizer, BLEU of what a network writes, a teacher's own translations."""

from __future__ import annotations

import datasets
import pytest
import torch
from torch import nn

from tutelage.answers import Manifest, Place, Prompt, Sampling, Text, write_texts
from tutelage.data import view_of
from tutelage.errors import AnswersError, DataError, ModelError, RecipeError, UnknownName
from tutelage.evaluation import jackknife, predict
from tutelage.tasks.text import translation
from tutelage.tasks.text.models import transformer
from tutelage.teachers import Ensemble, Frozen
from tutelage.types import UNLABELLED, Outputs

pytest.importorskip("transformers")

NAMES = {"cat": "Kätzchen", "dog": "Hündchen", "owl": "Eule", "fox": "Fuchs"}
PAIRS = [(f"The {a} saw the {b}.", f"{NAMES[a]} sah {NAMES[b]}.") for a in NAMES for b in NAMES]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("pairs")
    columns = {"en": [one for one, _ in PAIRS] * 2, "de": [other for _, other in PAIRS] * 2}
    datasets.Dataset.from_dict(columns).to_parquet(folder / "train.parquet")
    return str(folder)


def read(data: str, **settings):
    chosen = {"tokenizer": {"bpe": 400}, "length": 16, "metric": "nll", "validation": 4, "test": 8}
    return translation(data=data, source="en", target="de", **chosen | settings)


@pytest.fixture(scope="module")
def problem(data):
    return read(data)


@pytest.fixture(scope="module")
def network(problem):
    return network_for(problem)


def network_for(problem, seed=0):
    torch.manual_seed(seed)
    told = {key: problem.network_options[key] for key in ("vocabulary", "length", "begin", "end")}
    return transformer(hidden=16, layers=1, heads=2, **told).eval()


class Copies(nn.Module):
    """Writes the reference of each text, for one whose translation it knows."""

    translates = True

    def __init__(self, problem, known: int):
        super().__init__()
        batch = problem.test.batch(range(len(problem.test)))
        self.known = dict(zip(map(self.key, batch.inputs["input_ids"]), batch.labels, strict=True))
        self.left_out = set(list(self.known)[known:])
        self.num_classes, self.end = problem.num_classes, problem.network_options["end"]

    @staticmethod
    def key(tokens):
        return tuple(token for token in tokens.tolist() if token)

    def forward(self, input_ids, attention_mask=None, decoder_input_ids=None):
        length = 16 if decoder_input_ids is None else decoder_input_ids.shape[1]
        logits = torch.zeros(len(input_ids), length, self.num_classes)
        for row, key in enumerate(map(self.key, input_ids)):
            told = [t for t in self.known[key].tolist() if t != UNLABELLED]
            told = [self.end] if key in self.left_out else told
            for place in range(length):
                logits[row, place, told[min(place, len(told) - 1)]] = 9.0
        return logits


def test_labels_are_the_tokens_after_those_that_are_shown(problem):
    words = problem.network_options["words"]
    batch = problem.train.batch([0, 1, 2])
    shown, labels = batch.inputs["decoder_input_ids"], batch.labels
    assert shown.shape == labels.shape
    assert (shown[:, 0] == words.begin).all()
    assert torch.equal(batch.mask, labels != UNLABELLED)
    for row in range(3):
        told = labels[row][batch.mask[row]]
        assert told[-1] == words.end
        assert torch.equal(shown[row, 1 : len(told)], told[:-1])
        assert words.decode([told.tolist()])[0] in dict(PAIRS).values()  # capitals and accents are kept


def test_one_tokenizer_is_learnt_from_both_sides(problem):
    words = problem.network_options["words"].tokenizer
    assert len(words(" saw", add_special_tokens=False)["input_ids"]) == 1
    assert len(words(" sah", add_special_tokens=False)["input_ids"]) == 1


def test_texts_are_the_items_and_a_guess_counts_tokens(problem, network):
    answers = predict(
        lambda held: Outputs(network(**held.inputs)), [problem.test.batch(range(8))], device="cpu"
    )
    assert problem.exam.measure(answers)["nll"] > 0
    assert len(problem.exam.clusters(answers, problem.test).unique()) == 8
    assert 0 < problem.chance < torch.tensor(float(problem.num_classes)).log()


def test_what_cannot_be_read_is_refused(data, tmp_path):
    with pytest.raises(UnknownName, match="metric of translations"):
        read(data, metric="rouge")
    with pytest.raises(DataError, match=r"task\.target="):
        translation(data=data, source="en")
    datasets.Dataset.from_dict({"source": ["a", "b"], "target": ["c", " "]}).to_parquet(
        tmp_path / "train.parquet"
    )
    with pytest.raises(DataError, match="empty text in row 1"):
        translation(data=str(tmp_path))


def test_bleu_is_that_of_sacrebleu_over_all_texts(data):
    sacrebleu = pytest.importorskip("sacrebleu")
    problem = read(data, metric="bleu")
    network = Copies(problem, known=5)
    batches = [problem.test.batch(range(3)), problem.test.batch(range(3, 8))]
    answers = problem.exam.ask(
        lambda held: Outputs(network(**held.inputs)), batches, device=torch.device("cpu")
    )
    found = problem.exam.measure(answers)
    true = [problem.test.source.targets[n] for n in problem.test.numbers.tolist()]
    written = ["" if key in network.left_out else text for key, text in zip(network.known, true, strict=True)]
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(written, [true]).score)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(written, [true]).score)
    assert 0 < found["bleu"] < 100
    assert {"nll", "accuracy"} < found.keys()
    parts = jackknife(
        lambda some: problem.exam.measure(some)["bleu"],
        answers,
        problem.exam.clusters(answers, problem.test),
    )
    assert parts.shape == (8,)
    assert float(parts.mean()) == pytest.approx(found["bleu"])


def test_several_networks_write_together(data):
    pytest.importorskip("sacrebleu")
    problem = read(data, metric="bleu")
    batches = [problem.test.batch(range(8))]
    network = network_for(problem)
    one = problem.exam.ask(Frozen(network), batches, device=torch.device("cpu"))
    twice = problem.exam.ask(
        Ensemble([Frozen(network), Frozen(network)]), batches, device=torch.device("cpu")
    )
    assert torch.equal(one.counts["chrf"], twice.counts["chrf"])


def test_answers_that_were_stored_translate_nothing(data):
    pytest.importorskip("sacrebleu")
    problem = read(data, metric="bleu")

    def stored(batch):
        if "decoder_input_ids" not in batch.inputs:
            raise AnswersError("no answer to this example")
        return Outputs(torch.zeros(*batch.labels.shape, problem.num_classes))

    found = problem.exam.ask(stored, [problem.test.batch(range(8))], device=torch.device("cpu"))
    assert len(found.ids) > 8
    assert len(found.rows) == 0
    with pytest.raises(DataError, match="not one text was translated"):
        problem.exam.measure(found)


def asked(problem):
    return [(prompt, 0) for prompt in problem.writer.prompts(None, 32)]


def test_a_teacher_translates_each_training_text(problem, network):
    prompts = asked(problem)
    assert len(prompts) == len(problem.train)
    problem.writer.check(network, 16, 8)
    found = problem.writer.write(network, prompts[:5], Sampling(tokens=8))
    assert [one.prompt for one in found] == [prompt.text for prompt, _ in prompts[:5]]
    assert all(one.tokens <= 8 for one in found)
    alone = problem.writer.write(network, prompts[2:3], Sampling(tokens=8))
    assert alone == found[2:3]
    with pytest.raises(RecipeError, match="--temperature"):
        problem.writer.write(network, prompts[:1], Sampling(sampling_temperature=1.0))
    with pytest.raises(ModelError, match="translates"):
        problem.writer.check(nn.Linear(2, 2), 16, 8)


def test_texts_of_another_place_are_translated(problem, tmp_path):
    (tmp_path / "more.txt").write_text("The owl saw.\n\nThe fox saw.\n")
    assert [one.text for one in problem.writer.prompts(str(tmp_path / "more.txt"), 32)] == [
        "The owl saw.",
        "The fox saw.",
    ]
    with pytest.raises(DataError, match="no text file"):
        problem.writer.prompts(str(tmp_path / "none.txt"), 32)


def written_to(folder, texts):
    place = Place(folder)
    manifest = Manifest(
        teacher="t",
        data={"prompts": "p"},
        form="text:8@0",
        num_classes=0,
        num_shards=1,
        drawn={},
        planned=len(texts),
        shard_examples=len(texts),
        precision="float32",
    )
    manifest.begin(place)
    rows = [Text(Prompt(one, 3).key, one, other, 0, 3, ended) for one, other, ended in texts]
    write_texts(place, 0, rows)
    manifest.finish(place)
    return str(folder)


def test_a_stage_trains_on_what_a_teacher_wrote(problem, tmp_path):
    texts = [(text, f"So {other}", text != PAIRS[0][0]) for text, other in PAIRS]
    change = problem.augment({"written": written_to(tmp_path, texts)})
    words = problem.network_options["words"]
    before = problem.train.batch(range(len(problem.train)))
    after = change(before, view_of(0, 0))
    assert torch.equal(after.inputs["input_ids"], before.inputs["input_ids"])
    assert not torch.equal(after.keys, before.keys)
    for tokens, labels, mask in zip(before.inputs["input_ids"], after.labels, after.mask, strict=True):
        text = words.decode([tokens.tolist()])[0]
        assert words.decode([labels[mask].tolist()])[0] == f"So {dict(PAIRS)[text]}"
        assert (labels[mask][-1] == words.end) == (text != PAIRS[0][0])  # one was cut off
    few = change(problem.train.batch([2, 1]), 5)
    assert torch.equal(few.labels[0][few.mask[0]], after.labels[2][after.mask[2]])


def test_of_a_translation_without_words_the_end_is_left(problem, tmp_path):
    change = problem.augment({"written": written_to(tmp_path, [(text, "", False) for text, _ in PAIRS])})
    assert change(problem.train.batch([0]), 0).labels.tolist() == [[problem.network_options["end"]]]


def test_a_text_that_nobody_translated_is_refused(problem, tmp_path):
    folder = written_to(tmp_path, [(text, other, True) for text, other in PAIRS[1:]])
    with pytest.raises(DataError, match="no translation of the training text"):
        problem.augment({"written": folder})
    with pytest.raises(UnknownName, match="augmentation"):
        problem.augment({"writen": folder})
