"""Schmidhuber 1991, 1992: what an automatiser fails to predict goes to a chunker, which then teaches it."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from tutelage.evaluation import judge
from tutelage.losses import feature, response

LAG, WIDTH, SYMBOLS, EVERYTHING = 20, 16, 24, torch.arange(22)


def sequences(count: int) -> Tensor:  # a or x, then 0, 1 … 19, then A after a and X after x
    first = torch.randint(2, (count, 1)) + LAG
    return torch.cat([first, torch.arange(LAG).expand(count, -1), first + 2], 1)


def ask(net: nn.ModuleDict, symbols: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    state = net["rnn"](nn.functional.one_hot(symbols, SYMBOLS).float())[0]
    return state, *net["head"](state).split([SYMBOLS, WIDTH], -1)  # the next symbol, and another's state


def train(net: nn.ModuleDict, places: Tensor, chunker=None, surprises=None) -> Tensor:
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for symbols in map(sequences, [16] * 200):
        _, logits, imitated = ask(net, symbols[:, places[:-1]])
        loss = response.HardLabel()(logits, symbols[:, places[1:]])
        if chunker is not None:  # to which the surprises are neighbours; between them its state stays
            now = torch.bucketize(places[:-1], surprises, right=True) - 1
            loss = loss + feature.Hint()(imitated, ask(chunker, symbols[:, surprises[:-1]])[0][:, now])
        net.zero_grad()
        loss.backward()
        optimizer.step()
    symbols = sequences(200)[:, places]
    return (ask(net, symbols[:, :-1])[1].argmax(-1) == symbols[:, 1:]).float().mean(0)


alone, taught = [], []
for seed in range(3):
    torch.manual_seed(seed)
    rnn, head = nn.RNN(SYMBOLS, WIDTH, batch_first=True), nn.Linear(WIDTH, SYMBOLS + WIDTH)
    automatiser, chunker = (deepcopy(nn.ModuleDict({"rnn": rnn, "head": head})) for _ in range(2))
    surprises = torch.cat([EVERYTHING[:1], 1 + (train(automatiser, EVERYTHING) < 0.9).nonzero()[:, 0]])
    train(chunker, surprises)
    alone.append(train(deepcopy(automatiser), EVERYTHING)[-1].item())
    taught.append(train(automatiser, EVERYTHING, chunker, surprises)[-1].item())
    print(f"surprised at {surprises.tolist()}; last symbol: {alone[-1]:.2f} alone, {taught[-1]:.2f} taught")
print("{0.word}: {0.why}".format(judge("accuracy", alone, taught, of="taught", against="alone")))
