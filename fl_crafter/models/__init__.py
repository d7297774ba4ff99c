"""Models: split networks, generators, critics, amortisers, decoders."""
