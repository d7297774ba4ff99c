"""Crafter: features whose inversion is an average public face (NDSS 2024)."""
