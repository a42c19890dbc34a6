"""The photographs of CelebA and their words."""
