"""Runnable scenarios: one pair of Flower apps, one configuration, two ways to run them."""
