"""The one error that the layers raise for input a user got wrong."""


class LayerError(ValueError):
    """A layer was given an argument or a tensor that it cannot use; the message says which."""
