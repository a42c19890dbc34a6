"""Layers only: shapes in, modules out; knows no modality, no run."""
