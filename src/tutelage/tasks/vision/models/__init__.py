"""Networks for pictures, each a plain function of keywords: `resnet8(num_classes=10)`.

The small ones are those of the CIFAR table of the distillation literature. They name their parts in the same
way, for guided and hint layers: `stem`, `stages.0`, `stages.1`, …, `neck`, `pool`, `head`.
"""

from tutelage.tasks.networks import mlp, with_exits
from tutelage.tasks.vision.models.fitnet import thin_convnet
from tutelage.tasks.vision.models.image_generator import image_generator
from tutelage.tasks.vision.models.learnt_images import learnt_images
from tutelage.tasks.vision.models.mlp_with_branches import mlp_with_branches
from tutelage.tasks.vision.models.mlp_with_exits import mlp_with_exits
from tutelage.tasks.vision.models.mlp_with_heads import mlp_with_heads
from tutelage.tasks.vision.models.mobilenet_v2 import mobilenet_v2
from tutelage.tasks.vision.models.resnet import (
    resnet8,
    resnet8x4,
    resnet14,
    resnet20,
    resnet32,
    resnet32x4,
    resnet44,
    resnet56,
    resnet110,
)
from tutelage.tasks.vision.models.reused_classifier import reused_classifier
from tutelage.tasks.vision.models.shufflenet_v1 import shufflenet_v1
from tutelage.tasks.vision.models.shufflenet_v2 import shufflenet_v2
from tutelage.tasks.vision.models.transformers_image import transformers_classifier
from tutelage.tasks.vision.models.vgg import vgg8, vgg13
from tutelage.tasks.vision.models.wide_resnet import wrn_16_1, wrn_16_2, wrn_40_1, wrn_40_2

__all__ = [
    "image_generator",
    "learnt_images",
    "mlp",
    "mlp_with_branches",
    "mlp_with_exits",
    "mlp_with_heads",
    "mobilenet_v2",
    "resnet8",
    "resnet8x4",
    "resnet14",
    "resnet20",
    "resnet32",
    "resnet32x4",
    "resnet44",
    "resnet56",
    "resnet110",
    "reused_classifier",
    "shufflenet_v1",
    "shufflenet_v2",
    "thin_convnet",
    "transformers_classifier",
    "vgg8",
    "vgg13",
    "with_exits",
    "wrn_16_1",
    "wrn_16_2",
    "wrn_40_1",
    "wrn_40_2",
]
