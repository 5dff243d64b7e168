"""What is set on a trained student without a gradient step."""

from tutelage.corrections.prior_bias import PriorBias

__all__ = ["PriorBias"]
