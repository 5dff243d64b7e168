"""A small convolutional network that hears: samples in, classes out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.tasks.networks import require_positive

__all__ = ["LogMel", "SoundConvNet", "sound_convnet"]


class LogMel(nn.Module):
    """Samples -> the logarithm of the power in bands of the mel scale, by time; nothing of it is learned.

    Each recording's own mean and deviation are taken out, so that it does not matter how loud it is.

    Args:
        rate: samples in a second.
        mels: how many bands, from 0 to half the rate.
        window: samples of a frame, which is weighed by a Hann window.
        hop: samples from one frame to the next.

    Shapes:
        [N, samples] -> [N, 1, mels, frames].

    Raises:
        ModelError: a size below 1, or a recording that is shorter than a frame.

    Source:
        the mel scale is that of O'Shaughnessy 1987, 2595 · log10(1 + hertz / 700); bands are triangles whose
        peaks are 1.
    """

    window: Tensor
    bands: Tensor

    def __init__(self, *, rate: int, mels: int = 32, window: int = 256, hop: int = 128) -> None:
        super().__init__()
        require_positive(rate=rate, mels=mels, window=window, hop=hop)
        self.size, self.hop = window, hop
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        self.register_buffer("bands", mel_bands(rate, mels, window), persistent=False)

    def forward(self, sounds: Float[Tensor, "items samples"]) -> Float[Tensor, "items 1 mels frames"]:
        """The spectrogram of each recording."""
        if sounds.shape[-1] < self.size:
            raise ModelError(
                f"a recording of {sounds.shape[-1]} samples came, and a frame has {self.size}; give longer "
                "recordings (task.seconds) or a smaller window"
            )
        frames = torch.fft.rfft(sounds.unfold(-1, self.size, self.hop) * self.window)
        power = frames.real.square() + frames.imag.square()
        mel = (power @ self.bands).clamp(min=1e-6).log().mT
        mean = mel.mean((-2, -1), keepdim=True)
        deviation = (mel - mean).square().mean((-2, -1), keepdim=True).sqrt()
        standardised: Tensor = (mel - mean) / (deviation + 1e-3)
        return standardised.unsqueeze(1)


def mel_bands(rate: int, mels: int, window: int) -> Float[Tensor, "frequencies mels"]:
    """How much of each frequency of a frame belongs to each band.

    Example:
        >>> bands = mel_bands(8000, 4, 256)
        >>> bands.shape, bands.sum(0).argmax().item()  # the highest band is the widest
        (torch.Size([129, 4]), 3)
    """
    top = torch.tensor(rate / 2)
    edges = 700 * (10 ** (torch.linspace(0, 2595 * float(torch.log10(1 + top / 700)), mels + 2) / 2595) - 1)
    hertz = torch.linspace(0, float(top), window // 2 + 1).unsqueeze(1)
    low, peak, high = edges[:-2], edges[1:-1], edges[2:]
    return torch.minimum((hertz - low) / (peak - low), (high - hertz) / (high - peak)).clamp(min=0)


class SoundConvNet(nn.Module):
    """Log-mel bands, blocks of convolution at stride 2, batch norm and ReLU, the mean over the rest, a head.

    Args:
        num_classes: how many logits it answers.
        rate: samples in a second.
        widths: channels of each block; each halves bands and frames.
        mels, window, hop: of the front end; see `LogMel`.

    Shapes:
        sounds [N, samples], from −1 to 1 -> [N, num_classes]; `pool` gives the embedding [N, widths[-1]].

    Raises:
        ModelError: a size below 1, or a recording that is shorter than a frame.

    Source:
        none: the plainest network for short words.

    Example:
        >>> sound_convnet(num_classes=10, rate=8000)(torch.zeros(2, 8000)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rate: int,
        widths: Sequence[int] = (16, 32, 64),
        mels: int = 32,
        window: int = 256,
        hop: int = 128,
    ) -> None:
        super().__init__()
        require_positive(num_classes=num_classes)
        require_positive(**{f"widths[{index}]": width for index, width in enumerate(widths)})
        self.front = LogMel(rate=rate, mels=mels, window=window, hop=hop)
        self.stages = nn.ModuleList(_block(*pair) for pair in pairwise([1, *widths]))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, sounds: Float[Tensor, "items samples"]) -> Float[Tensor, "items classes"]:
        """Logits of a batch."""
        features = self.front(sounds)
        for stage in self.stages:
            features = stage(features)
        logits: Tensor = self.head(self.pool(features))
        return logits


def _block(in_width: int, width: int) -> nn.Sequential:
    layers = {
        "conv": nn.Conv2d(in_width, width, 3, stride=2, padding=1, bias=False),
        "norm": nn.BatchNorm2d(width),
        "relu": nn.ReLU(),
    }
    return nn.Sequential(OrderedDict(layers))


def sound_convnet(
    *,
    num_classes: int,
    rate: int,
    widths: Sequence[int] = (16, 32, 64),
    mels: int = 32,
    window: int = 256,
    hop: int = 128,
) -> SoundConvNet:
    """A convolutional network on sound; arguments, shapes and source are those of `SoundConvNet`."""
    return SoundConvNet(num_classes=num_classes, rate=rate, widths=widths, mels=mels, window=window, hop=hop)
