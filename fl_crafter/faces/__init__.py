"""Faces: one record for every dataset, and readers that check what they read."""
