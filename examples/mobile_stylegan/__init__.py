"""A StyleGAN that somebody else trained as the attacks' prior: `--generator` names it."""

from examples.mobile_stylegan.generator import w, w_plus

__all__ = ["w", "w_plus"]
