"""Tensors in, numbers out; the only place where a trained model is judged."""
