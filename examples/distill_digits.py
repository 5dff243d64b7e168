"""Your own networks and a DataLoader: a convolutional teacher, a student of 16 units."""

import tempfile

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

import tutelage as tl


def make_teacher() -> nn.Module:
    head = (nn.Flatten(), nn.Linear(32 * 4 * 4, 10))
    return nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), *head)


def make_student() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def train(network: nn.Module, batches: DataLoader, *, epochs: int) -> nn.Module:
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(epochs):
        for images, labels in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
    return network


torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
parts = random_split(TensorDataset(images, torch.tensor(digits.target)), [0.6, 0.15, 0.25])
batches, validation, test = (DataLoader(part, batch_size=64, shuffle=part is parts[0]) for part in parts)

teacher = train(make_teacher(), batches, epochs=5)
with tempfile.TemporaryDirectory() as folder:
    data = {"train": batches, "validation": validation, "test": test}
    faster = {"adamw": {"lr": 0.01}}
    out = f"{folder}/run"
    run = tl.distill(teacher, make_student, **data, optimizer=faster, epochs=8, out=out, quiet=True)

for name in ("teacher", "control", "student"):
    print(f"{name:8} {run.results[name]['quality']['accuracy']['mean']:.3f}")
print(f"{run.verdict.word}: {run.verdict.why}")
