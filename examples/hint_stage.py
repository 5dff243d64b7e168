"""Knowledge of a layer: the middle of a wide network as a hint for a thin one, next to soft targets."""

import tempfile

import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from torch import nn

import tutelage as tl
from tutelage.losses import feature, response


def make_teacher() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def make_student() -> nn.Module:
    body = (nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
    return nn.Sequential(*body, nn.Linear(16, 10))


torch.manual_seed(0)
digits = load_digits()
inputs, labels = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
order = torch.randperm(len(labels))
train, test = order[:1300], order[1300:]

teacher = make_teacher()
optimizer = torch.optim.AdamW(teacher.parameters(), lr=3e-3)
for _ in range(100):
    optimizer.zero_grad()
    nn.functional.cross_entropy(teacher(inputs[train]), labels[train]).backward()
    optimizer.step()

matches = [
    tl.Match(response.SoftTarget(temperature=4.0), weight=1.0),
    tl.Match(feature.Hint(), guided="1", hint="1", weight=0.1),  # 16 units to 128: a projector is fitted
]
with tempfile.TemporaryDirectory() as folder:
    data = {"train": (inputs[train], labels[train]), "test": (inputs[test], labels[test])}
    how = {"matches": matches, "epochs": 10, "optimizer": {"adamw": {"lr": 0.01}}}
    run = tl.distill(teacher, make_student, **data, **how, out=f"{folder}/run", quiet=True)
    print("student's tensors:", list(load_file(run.out / "student.safetensors")))  # no projector among them
print(f"{run.verdict.word}: {run.verdict.why}")
