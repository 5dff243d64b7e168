"""A teacher that is no network: a forest of scikit-learn teaches a multilayer perceptron."""

import tempfile

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

import tutelage as tl


def make_student() -> nn.Module:
    return nn.Sequential(nn.Linear(30, 8), nn.ReLU(), nn.Linear(8, 2))


def tensors(rows, labels) -> tuple[Tensor, Tensor]:
    return torch.tensor(scale.transform(rows), dtype=torch.float32), torch.tensor(labels)


rows, labels = load_breast_cancer(return_X_y=True)
rows, test_rows, labels, test_labels = train_test_split(
    rows, labels, test_size=0.3, stratify=labels, random_state=0
)
scale = StandardScaler().fit(rows)
train, test = tensors(rows, labels), tensors(test_rows, test_labels)

forest = RandomForestClassifier(30, min_samples_leaf=2, random_state=0).fit(train[0].numpy(), labels)
with tempfile.TemporaryDirectory() as folder:
    how = {"epochs": 10, "batch_size": 32, "optimizer": {"adamw": {"lr": 0.01}}}
    run = tl.distill(forest, make_student, train, test=test, out=f"{folder}/run", quiet=True, **how)

print(f"{'':8} {'accuracy':>9} {'p50 of one row':>15}")
for name in ("teacher", "control", "student"):
    held = run.results[name]
    milliseconds = held["cost"]["latency_ms"]["1"]["p50"]
    print(f"{name:8} {held['quality']['accuracy']['mean']:9.3f} {milliseconds:12.3f} ms")
print(f"{run.verdict.word}: {run.verdict.why}")
