"""Errors that are the user's to mend."""


class InputError(ValueError):
    """Bad input; the message is one sentence that names the file, field or value and the mend."""
