"""ONNX files of JAX functions; to be deleted once a library converts the four networks here."""
