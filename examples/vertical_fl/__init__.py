"""Vertical federated learning, without and with Crafter."""
