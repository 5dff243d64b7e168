"""A step of a language model's distillation beside TRL's GKD trainer and beside a loop by hand.

Forward KL at temperature 1, off-policy, AdamW, float32, one thread. The same weights, rows and order for
all; a process each, in turns, so that each has a peak of memory of its own. The loop by hand makes the logits
of both networks, and `kl_div` of both softmaxes.

    python benchmarks/beside_trl.py TEXT [--steps N] [--rounds N] [--vocabulary N] [--length N] [--batch N]

TEXT is any text file, such as WikiText-2's. TRL is no dependency: `pip install trl` first.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SIDES = ("tutelage", "trl", "by hand")
RATE, WARM_UP = 1e-3, 4
TEACHER = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 8, "intermediate_size": 688}
STUDENT = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 344}


def main() -> None:
    wanted = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    wanted.add_argument("text", type=Path)
    for name, usual in (("steps", 24), ("rounds", 3), ("vocabulary", 16_384), ("length", 256), ("batch", 4)):
        wanted.add_argument(f"--{name}", type=int, default=usual)
    wanted.add_argument("--side", choices=SIDES)
    wanted.add_argument("--folder", type=Path)
    asked = wanted.parse_args()
    if asked.side is not None:
        print(json.dumps(run(asked.side, asked.folder, asked.batch)))
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare(asked, Path(folder))
        command = [sys.executable, __file__, str(asked.text), "--folder", folder, "--batch", str(asked.batch)]
        told: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for _ in range(asked.rounds):
            for side in SIDES:
                ended = subprocess.run([*command, "--side", side], check=True, capture_output=True, text=True)
                told[side].append(json.loads(ended.stdout.splitlines()[-1]))
    show(told, asked.batch * asked.length)


def prepare(asked: argparse.Namespace, folder: Path) -> None:
    """The rows, and both networks' weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from tutelage.tasks.language.vocabulary import Vocabulary

    torch.manual_seed(0)
    text = asked.text.read_text(encoding="utf-8")
    words = Vocabulary.of({"bpe": asked.vocabulary}, [text])
    words.tokenizer.save_pretrained(folder / "tokenizer")
    numbers = torch.tensor(words.tokenizer(text)["input_ids"])
    rows = asked.steps * asked.batch
    torch.save(numbers[: rows * (asked.length + 1)].view(rows, -1), folder / "rows.pt")
    for name, sizes in (("teacher", TEACHER), ("student", STUDENT)):
        config = LlamaConfig(vocab_size=len(words), tie_word_embeddings=True, **sizes)
        LlamaForCausalLM(config).save_pretrained(folder / name)


def run(side: str, folder: Path, batch: int) -> dict[str, Any]:
    """One side: the loss and the CPU seconds of each step, and the memory that training added, in bytes."""
    torch.set_num_threads(1)
    rows = torch.load(folder / "rows.pt", weights_only=True)
    train: Callable[..., Sequence[float]] = {"tutelage": ours, "trl": trl, "by hand": by_hand}[side]
    ticks: list[float] = []

    def begin() -> None:
        if not ticks:
            ticks.append(resident())
        ticks.append(time.process_time())

    losses = train(folder, rows, batch, begin)
    ticks.append(time.process_time())
    seconds = [after - before for before, after in pairwise(ticks[1:])]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"losses": list(losses), "seconds": seconds, "memory": peak - ticks[0]}


def resident() -> float:
    """What this process holds now, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def ours(folder: Path, rows: Tensor, batch: int, begin: Callable[[], None]) -> list[float]:
    """The engine, with logits worked through in chunks."""
    from tutelage.data import Examples, Loader
    from tutelage.engine import OptimizerSettings, Runtime, TrainSettings, fit
    from tutelage.losses import response
    from tutelage.match import Match
    from tutelage.schemes import Offline
    from tutelage.tasks.language.models.transformers_causal import transformers_causal
    from tutelage.teachers import Frozen

    teacher, student = (
        transformers_causal(path=str(folder / name), head=True) for name in ("teacher", "student")
    )
    scheme = Offline(student, Frozen(teacher), [Match(response.SoftTarget(temperature=1.0))])
    examples = Examples({"input_ids": rows[:, :-1].contiguous()}, rows[:, 1:].contiguous())
    scheme.prepare(examples.batch([0, 1]))

    class Batches(Loader):
        def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
            for micros in super().epoch(epoch, start):
                begin()
                yield micros

    fitted = fit(
        scheme.turns(),
        scheme.modules,
        Batches(examples, batch_size=batch, shuffle=False),
        TrainSettings(epochs=1, batch_size=batch, keep="last", log_every=1),
        optimizers={"student": OptimizerSettings(name="adamw", options={"lr": RATE, "weight_decay": 0.0})},
        runtime=Runtime(cpu=True, quiet=True),
    )
    return [record["loss"] for record in fitted.history if "loss" in record]


def trl(folder: Path, rows: Tensor, batch: int, begin: Callable[[], None]) -> list[float]:
    """TRL's trainer with its own loss."""
    import os

    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    class InOrder(GKDTrainer):
        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    class Clock(TrainerCallback):
        losses: list[float] = []  # noqa: RUF012

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            begin()

        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            if "loss" in logs:
                self.losses.append(float(logs["loss"]))

    def collate(items: list[dict[str, Any]]) -> dict[str, Tensor]:
        ids = torch.tensor([item["input_ids"] for item in items])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}

    teacher, student = (
        AutoModelForCausalLM.from_pretrained(folder / name) for name in ("teacher", "student")
    )
    with tempfile.TemporaryDirectory() as place:
        trainer = InOrder(
            model=student,
            teacher_model=teacher,
            args=GKDConfig(
                output_dir=place,
                lmbda=0.0,
                beta=0.0,
                temperature=1.0,
                learning_rate=RATE,
                lr_scheduler_type="constant",
                weight_decay=0.0,
                max_grad_norm=0.0,
                num_train_epochs=1,
                per_device_train_batch_size=batch,
                gradient_checkpointing=False,
                logging_steps=1,
                save_strategy="no",
                report_to=[],
                use_cpu=True,
                bf16=False,
                disable_tqdm=True,
            ),
            data_collator=collate,
            train_dataset=Dataset.from_dict({"input_ids": rows.tolist()}),
            processing_class=AutoTokenizer.from_pretrained(folder / "tokenizer", pad_token="<pad>"),
            callbacks=[Clock()],
        )
        trainer.train()
    return Clock.losses


def by_hand(folder: Path, rows: Tensor, batch: int, begin: Callable[[], None]) -> list[float]:
    """The loop as one would write it."""
    from transformers import AutoModelForCausalLM

    teacher, student = (
        AutoModelForCausalLM.from_pretrained(folder / name) for name in ("teacher", "student")
    )
    teacher.eval().requires_grad_(False)
    student.train()
    optimizer = torch.optim.AdamW(student.parameters(), lr=RATE, weight_decay=0.0)
    losses = []
    for part in rows.split(batch):
        begin()
        with torch.no_grad():
            theirs = teacher(input_ids=part[:, :-1]).logits.flatten(0, 1)
        own = student(input_ids=part[:, :-1]).logits.flatten(0, 1)
        loss = F.kl_div(own.log_softmax(-1), theirs.log_softmax(-1), reduction="batchmean", log_target=True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def show(told: dict[str, list[dict[str, Any]]], tokens: int) -> None:
    """A line for each side; in brackets how many times as fast ours is, and its part of the memory."""
    middle = {
        side: statistics.median(second for one in runs for second in one["seconds"][WARM_UP:])
        for side, runs in told.items()
    }
    memory = {side: statistics.median(one["memory"] for one in runs) for side, runs in told.items()}
    mine, ours_losses = middle["tutelage"], told["tutelage"][0]["losses"]
    for side, runs in told.items():
        apart = max(
            abs(one - other) / other for one, other in zip(runs[0]["losses"], ours_losses, strict=True)
        )
        first, *_, last = runs[0]["losses"]
        print(
            f"{side:9} {tokens / middle[side]:7.0f} tokens a CPU second ({middle[side] / mine:.2f})  "
            f"{memory[side] / 2**20:6.0f} MiB ({memory['tutelage'] / memory[side]:.2f})  "
            f"loss {first:.4f} to {last:.4f}, at most {apart:.1e} from ours"
        )


if __name__ == "__main__":
    main()
