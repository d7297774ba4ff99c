"""Inversion: the eavesdropper's inner problem, its solvers and the gradient through it."""
