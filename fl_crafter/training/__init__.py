"""Training of the weights that ship with the package, on public faces."""
