"""What an eavesdropper on the wire records."""

from fl_crafter.transcript.features import read_features
from fl_crafter.transcript.record import Purpose, Transcript, concatenate

__all__ = ["Purpose", "Transcript", "concatenate", "read_features"]
