"""Studies: many defences, at many settings, under the same attacks, on the same people."""
