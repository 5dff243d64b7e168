"""Programs that lie in a bundle and run on a device, with numpy and ONNX Runtime and nothing of ours."""
