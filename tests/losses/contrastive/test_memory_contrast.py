"""CRD's memory: worked answers, what is remembered and when, several processes."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tutelage.losses.contrastive import MemoryContrast


def bare(width: int = 2, **options: float) -> MemoryContrast:
    """With heads that change nothing."""
    loss = MemoryContrast(width=width, **options)
    loss.fit(torch.zeros(1, width), torch.zeros(1, width))
    with torch.no_grad():
        for head in (loss.student_head, loss.teacher_head):
            head.weight.copy_(torch.eye(width))
            head.bias.zero_()
    return loss


def answers(own: float, other: float, mean: float, count: int) -> float:
    """−log h of a partner and −log(1 − h) of as many negatives, all alike, at temperature 1/2."""
    own, other = math.exp(own / 0.5), math.exp(other / 0.5)
    noise = count * mean
    return -math.log(own / (own + noise)) - count * math.log(noise / (other + noise))


def test_by_hand():
    loss = bare(num_ids=2, num_negatives=8, temperature=0.5)
    loss.student_bank[:2] = torch.tensor([0.6, 0.8])
    loss.teacher_bank[:2] = torch.tensor([0.0, 1.0])
    torch.manual_seed(3)
    count = int((torch.randint(2, (8,)) == 1).sum())  # id 0 is the item's own
    assert 0 < count < 8
    torch.manual_seed(3)
    found = loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[8.0, 6.0]]), torch.tensor([0]))
    # the student (1, 0) meets (.8, .6) and negatives (0, 1); the teacher (.8, .6) meets negatives (.6, .8)
    expected = answers(0.8, 0.0, math.exp(0), count) + answers(0.8, 0.96, math.exp(1.92), count)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    # the means of the first batch hold, and negatives that are all nearer now are worse to tell apart
    loss.teacher_bank[:2] = torch.tensor([0.6, 0.8])
    loss.student_bank[:2] = torch.tensor([0.6, 0.8])
    torch.manual_seed(3)
    found = loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[8.0, 6.0]]), torch.tensor([0]))
    expected = answers(0.8, 0.6, math.exp(0), count) + answers(0.8, 0.96, math.exp(1.92), count)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_rows_move_by_their_ids_and_stay_unit():
    loss = bare(num_ids=5, num_negatives=4, momentum=0.75)
    loss.student_bank[3] = torch.tensor([1.0, 0.0])
    before = loss.student_bank.clone(), loss.teacher_bank.clone()
    student, teacher = torch.tensor([[0.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 0.0], [0.0, 1.0]])
    loss(student, teacher, torch.tensor([3, 0]))
    torch.testing.assert_close(loss.student_bank[3], torch.tensor([0.75, 0.25]) / 0.625**0.5)
    expected = 0.75 * before[0][0] + 0.25 * torch.tensor([0.6, 0.8])
    torch.testing.assert_close(loss.student_bank[0], expected / expected.norm())
    for bank, old in zip((loss.student_bank, loss.teacher_bank), before, strict=True):
        torch.testing.assert_close(bank[[1, 2, 4, 5]], old[[1, 2, 4, 5]], rtol=0, atol=0)
        assert (bank[[0, 3]] != old[[0, 3]]).any(1).all()
        torch.testing.assert_close(bank.norm(dim=1), torch.tensor([1.0] * 5 + [0.0]))


@pytest.mark.parametrize("how", ["eval", "no gradients", "masked", "empty"])
def test_nothing_is_remembered(how):
    loss = bare(num_ids=5, num_negatives=4)
    before = {name: held.clone() for name, held in loss.state_dict().items()}
    features, mask = torch.ones(2, 2), torch.tensor([how != "masked"] * 2)
    count = 0 if how == "empty" else 2
    loss.train(how != "eval")
    with torch.set_grad_enabled(how != "no gradients"):
        loss(features[:count], features[:count], torch.tensor([0, 3])[:count], mask[:count])
    for name, held in loss.state_dict().items():
        torch.testing.assert_close(held, before[name], rtol=0, atol=0)


def test_masked_items_leave_no_trace_whatever_their_ids():
    student, teacher = (torch.randn(4, 2, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    mask = torch.tensor([True, False, True, False])
    one, other = (bare(num_ids=5, num_negatives=4) for _ in "12")
    other.load_state_dict(one.state_dict())
    for loss, kept in ((one, slice(None)), (other, mask)):
        torch.manual_seed(0)
        loss(student[kept], teacher[kept], torch.tensor([1, 99, 2, -7])[kept], mask[kept])
    for name, held in one.state_dict().items():
        torch.testing.assert_close(held, other.state_dict()[name])


def test_of_items_with_one_id_the_first_is_remembered():
    once, twice = (bare(num_ids=5, num_negatives=4) for _ in "12")
    twice.load_state_dict(once.state_dict())
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    once(student[:1], student[:1], torch.tensor([2]))
    twice(student, student, torch.tensor([2, 2, 2]))
    torch.testing.assert_close(once.student_bank, twice.student_bank)


def test_a_batch_seen_again_is_worth_the_same():
    torch.manual_seed(0)
    loss, student, teacher, ids = bare(num_ids=9), torch.randn(4, 2), torch.randn(4, 2), torch.arange(4)
    values = []
    for _ in range(2):
        torch.manual_seed(1)
        values.append(loss(student, teacher, ids))
    torch.testing.assert_close(*values)


def test_a_batch_of_all_ids_has_no_negatives():
    loss = bare(num_ids=2, temperature=0.5)
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    value = loss(student, torch.tensor([[0.6, 0.8], [0.0, 1.0]]), torch.arange(2))
    assert value.item() == pytest.approx(math.log(1 + math.exp(-1.2)) + math.log(1 + math.exp(-2)), rel=1e-5)
    assert loss.log_means.isneginf().all()
    value.backward()
    assert student.grad.isfinite().all()


def test_it_learns_to_tell_examples_apart():
    torch.manual_seed(0)
    student, teacher = torch.randn(32, 6), torch.randn(32, 9)
    loss = MemoryContrast(num_ids=32, width=16, num_negatives=64)
    loss.fit(student, teacher)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.02)
    values = []
    for step in range(200):
        ids = torch.arange(8) + 8 * (step % 4)
        optimizer.zero_grad()
        value = loss(student[ids], teacher[ids], ids)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert sum(values[-8:]) < 0.7 * sum(values[:8])


def test_the_memory_is_stored_with_the_weights():
    loss = bare(num_ids=5, num_negatives=4)
    loss(torch.ones(2, 2), torch.ones(2, 2), torch.tensor([0, 3]))
    again = bare(num_ids=5, num_negatives=4)
    again.load_state_dict(loss.state_dict())
    torch.testing.assert_close(again.student_bank, loss.student_bank, rtol=0, atol=0)
    assert again.log_means.isfinite().all()


@pytest.mark.parametrize("wrong", [5, -1])
def test_ids_beyond_the_memory_are_refused(wrong):
    loss = bare(num_ids=5)
    with pytest.raises(ValueError, match="those from 0 to 4; ids below num_ids are expected"):
        loss(torch.ones(2, 2), torch.ones(2, 2), torch.tensor([0, wrong]))


@pytest.mark.parametrize(
    "option", [{"num_ids": 0}, {"num_negatives": 0}, {"momentum": 1.0}, {"temperature": 0.0}, {"width": 0}]
)
def test_options_out_of_range_are_refused(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))} came as .*expected"):
        MemoryContrast(**option)


def test_a_step_copies_no_bank():
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            own = [held.untyped_storage().data_ptr() for held in (*loss.buffers(), *loss.parameters())]
            if isinstance(result, torch.Tensor) and result.untyped_storage().data_ptr() not in own:
                largest = max(largest, result.untyped_storage().nbytes())
            return result

    loss = MemoryContrast(num_ids=100_000, num_negatives=256)
    features = torch.ones(2, 4)
    loss.fit(features, features)
    with Watch():
        loss(features, features, torch.tensor([0, 99_999])).backward()
    assert largest < 1e-2 * loss.student_bank.nbytes


PROCESS = """
import sys
import torch
import torch.distributed as dist
from tutelage.losses.contrastive import MemoryContrast

rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
given = torch.load(f"{folder}/given.pt")
loss = MemoryContrast(num_ids=9, width=3, num_negatives=8)
loss.fit(given["student"], given["teacher"])
loss.load_state_dict(given["state"])
torch.manual_seed(rank)
part = slice(0, 4) if rank == 0 else slice(4, 6)
for mask in given["masks"]:
    loss(given["student"][part], given["teacher"][part], given["ids"][part], mask[part]).backward()
torch.save(loss.state_dict(), f"{folder}/state{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_the_memory_is_one_over_several_processes(tmp_path: Path):
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(6, 2, generator=generator), torch.randn(6, 4, generator=generator)
    ids = torch.tensor([1, 5, 2, 8, 5, 7])  # the second process holds 5 too, and fewer items
    masks = [torch.tensor(mask) == 1 for mask in ([1, 1, 0, 1, 1, 1], [1, 1, 1, 1, 0, 0])]
    alone = MemoryContrast(num_ids=9, width=3, num_negatives=8)
    alone.fit(student, teacher)
    given = {"student": student, "teacher": teacher, "ids": ids, "masks": masks, "state": alone.state_dict()}
    torch.save(given, tmp_path / "given.pt")
    started = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(rank), str(tmp_path)]) for rank in range(2)
    ]
    assert [process.wait(120) for process in started] == [0, 0]
    for mask in masks:
        alone(student, teacher, ids, mask)
    states = [torch.load(tmp_path / f"state{rank}.pt") for rank in range(2)]
    for name, held in alone.state_dict().items():
        torch.testing.assert_close(states[0][name], states[1][name], rtol=0, atol=0)
        if "bank" in name:
            torch.testing.assert_close(states[0][name], held)
    assert states[0]["log_means"].isfinite().all()
