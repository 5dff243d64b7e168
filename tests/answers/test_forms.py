"""Forms of answers: what comes back, how large it is, what it serves."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.answers import Dense, Sampled, TopK, form_of, spread_log_probs
from tutelage.errors import RecipeError, UnknownName

FORMS = [
    "dense:float32",
    "dense:float16",
    "dense:bfloat16",
    "dense:int8",
    "topk:5@1,4",
    "topk:5:bare@2",
    "sampled:12@1",
]


def logits(rows: int = 40, classes: int = 11, *, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed))


def back(form, given):
    return form.decode(form.encode(given, torch.arange(len(given))), given.shape[-1])


@pytest.mark.parametrize("text", FORMS)
def test_a_form_is_read_from_what_it_says(text):
    form = form_of(text)
    assert form.text == text
    assert form_of(form.text) == form


@pytest.mark.parametrize("text", FORMS)
def test_a_row_does_not_depend_on_its_neighbours(text):
    form, given = form_of(text), logits()
    names = torch.arange(40)
    whole = spread_log_probs(form.decode(form.encode(given, names), 11), form_temperature(form))
    some = torch.tensor([31, 2, 17])
    part = spread_log_probs(form.decode(form.encode(given[some], names[some]), 11), form_temperature(form))
    torch.testing.assert_close(part, whole[some], rtol=0, atol=0)


def form_temperature(form) -> float:
    return getattr(form, "temperature", getattr(form, "temperatures", [1.0])[0])


@pytest.mark.parametrize("text", FORMS)
def test_no_row_takes_more_than_the_form_says(text):
    form, given = form_of(text), logits()
    held = sum(column.nbytes for column in form.encode(given, torch.arange(40)).values())
    assert held <= 40 * form.bytes_of_row(11)


@pytest.mark.parametrize("text", FORMS)
def test_no_rows_are_rows_too(text):
    form = form_of(text)
    assert form.decode(form.encode(torch.empty(0, 11), torch.empty(0, dtype=torch.int64)), 11).shape == (
        0,
        11,
    )


def test_dense_answers_are_exact_or_rounded():
    given = logits()
    assert torch.equal(back(Dense("float32"), given), given)
    assert torch.equal(back(Dense("bfloat16"), given), given.bfloat16().float())
    step = (given.amax(-1) - given.amin(-1)) / 255
    assert ((back(Dense("int8"), given) - given).abs() <= step.unsqueeze(-1) * 0.5001).all()
    assert torch.equal(back(Dense("int8"), torch.full((2, 3), 7.0)), torch.full((2, 3), 7.0))


def test_temperatures_keep_their_digits_and_what_cannot_be_is_no_nan():
    assert form_of("topk:3@1.23456789").temperatures == [1.23456789]
    assert form_of(form_of("sampled:3@1.23456789").text).temperature == 1.23456789
    given = torch.tensor([[1.0, -torch.inf, 3.0]])
    assert torch.allclose(back(Dense("int8"), given), torch.tensor([[1.0, 1.0, 3.0]]), atol=0.01)


def test_top_k_at_two_temperatures_by_hand():
    given = torch.tensor([[4.0, 2.0, 0.0, 0.0]])
    sparse = back(TopK(2, temperatures=[1.0, 2.0]), given)
    assert sparse.classes.tolist() == [[0, 1]]
    for temperature in (1.0, 2.0):
        weights = [math.exp(value / temperature) for value in (4, 2, 0, 0)]
        known, tail = sparse.at(temperature)
        assert known.exp()[0].tolist() == pytest.approx([w / sum(weights) for w in weights[:2]], rel=1e-3)
        assert tail.exp().item() == pytest.approx(2 / sum(weights), rel=1e-5)
    with pytest.raises(ValueError, match=r"at temperature 4, .* were kept, for 1, 2; give"):
        sparse.at(4.0)


def test_what_is_left_out_at_one_temperature_is_much_at_another():
    zipf = -2 * torch.arange(1.0, 152_001).log().unsqueeze(0)
    form = TopK(128, temperatures=[1.0, 2.0])
    sparse = back(form, zipf)
    assert sparse.at(1.0)[1].exp().item() == pytest.approx(0.005, abs=0.001)
    assert sparse.at(2.0)[1].exp().item() == pytest.approx(0.57, abs=0.05)


def test_without_tails_the_known_sum_to_one():
    known, tail = back(TopK(2, tails=False), logits()).at(1.0)
    assert tail is None
    torch.testing.assert_close(known.exp().sum(-1), torch.ones(40), rtol=1e-3, atol=1e-3)


def test_a_sample_is_right_on_average():
    given = logits(1, 6)
    names = torch.arange(20_000)
    form = Sampled(4)
    sparse = form.decode(form.encode(given.expand(20_000, 6), names), 6)
    mean = spread_log_probs(sparse, 1.0).exp().mean(0)
    torch.testing.assert_close(mean.float(), given[0].softmax(-1), rtol=0, atol=0.005)


def test_draws_of_one_class_are_merged_and_sum_to_one():
    sparse = back(Sampled(12), logits())
    known = sparse.scores > -torch.inf
    assert torch.equal(sparse.scores.exp().sum(-1), torch.ones(40)) or torch.allclose(
        sparse.scores.exp().sum(-1), torch.ones(40)
    )
    for row, there in zip(sparse.classes, known, strict=True):
        assert len(set(row[there].tolist())) == int(there.sum())


def test_a_class_is_met_as_often_as_it_is_probable_or_once_more():
    given = logits()
    counts = spread_log_probs(back(Sampled(12), given), 1.0).exp() * 12
    expected = given.double().softmax(-1) * 12
    assert ((counts - expected).abs() < 1 + 1e-4).all()


def test_other_names_draw_otherwise_and_the_same_alike():
    given, form = logits(8), Sampled(2)
    one, same, other = (form.encode(given, torch.arange(8) + start)["gap0"].tolist() for start in (0, 0, 8))
    assert one == same
    assert one != other


def test_a_vocabulary_beyond_two_bytes():
    given = torch.zeros(1, 70_000)
    given[0, 69_999] = 30.0
    for form in (TopK(1), Sampled(3)):
        assert back(form, given).classes.tolist() == [[69_999]]


def test_the_distances_of_a_sample_by_hand():
    given = torch.full((2, 70_000), -30.0)
    given[0, [3, 259, 66_000]] = 0.0  # 3, 256 on, 65741 on
    given[1, 5] = 0.0
    columns = Sampled(3).encode(given, torch.arange(2))
    held = {name: value.tolist() for name, value in columns.items()}
    assert held["gap0"] == [3, 0, 65_741 % 256, 5]
    assert held["gap1"] == [0, 1, 65_741 // 256 % 256, 0]
    assert held["gap2"] == [0, 0, 1, 0]
    assert held["counts"] == [1, 1, 1, 3]
    assert held["known"] == [3, 1]
    sparse = Sampled(3).decode(columns, 70_000)
    assert sparse.classes.tolist() == [[3, 259, 66_000], [5, 0, 0]]


@pytest.mark.parametrize(("classes", "width"), [(2, 1), (256, 1), (257, 2), (65_536, 2), (65_537, 3)])
def test_a_distance_takes_as_many_bytes_as_it_needs(classes, width):
    assert Sampled(10).bytes_of_row(classes) == 10 * (width + 1) + 1
    given = torch.full((1, classes), -30.0)
    given[0, -1] = 0.0
    assert back(Sampled(3), given).classes.tolist() == [[classes - 1]]


@pytest.mark.parametrize(
    ("text", "temperatures", "message"),
    [
        ("topk", [1.0], "expected dense:float16"),
        ("topk:x", [1.0], "expected dense:float16"),
        ("topk:0", [1.0], "expected at least 1"),
        ("topk:64:foo", [1.0], "expected dense:float16"),
        ("dense:float16:x", [1.0], "expected dense:float16"),
        ("dense:float16@4", [1.0], "expected dense:float16"),
        ("sampled:12:bare", [1.0], "expected dense:float16"),
        ("topk:4:bare", [1.0, 4.0], "keep the tails"),
        ("sampled:12", [1.0, 4.0], "drawn for one temperature"),
        ("sampled:300", [1.0], "expected 1 to 255"),
    ],
)
def test_forms_that_cannot_be(text, temperatures, message):
    with pytest.raises(RecipeError, match=message):
        form_of(text, temperatures=temperatures)


def test_unknown_names_meet_the_nearest_one():
    with pytest.raises(UnknownName, match="dense"):
        form_of("dens:float16")
    with pytest.raises(UnknownName, match="float16"):
        form_of("dense:float61")


def test_which_temperatures_a_form_serves():
    assert Dense().serves(4.0)
    assert TopK(2, temperatures=[1.0, 4.0]).serves(4.0)
    assert not TopK(2).serves(4.0)
    assert not Sampled(2).serves(4.0)
