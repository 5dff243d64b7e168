"""Programs that lie in a bundle and run on a device: they need numpy and ONNX Runtime, and nothing of ours."""
