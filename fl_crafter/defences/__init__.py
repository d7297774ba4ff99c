"""Defences: what a client makes of features before they leave it."""
