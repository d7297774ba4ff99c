"""Attacks: what an eavesdropper makes of features that it saw."""
