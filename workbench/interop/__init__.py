"""What other programs take from a run: scikit-learn, torch.export, tables of latents."""
