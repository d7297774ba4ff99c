"""What is not ours beside Crafter: an app that it is added to, a generator that attacks search."""
