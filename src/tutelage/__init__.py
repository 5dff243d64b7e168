"""Knowledge distillation on PyTorch, from a teacher to a measured student."""
