"""Student to bundle: ONNX graphs, int8, the parity gate and the bundle's files."""
