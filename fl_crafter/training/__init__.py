"""Training: of the weights that ship with the package, of baselines, and of a cloud model."""
