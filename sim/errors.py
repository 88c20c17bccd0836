"""The one error of this room."""


class SimulationError(ValueError):
    """A simulation that could not run, or whose design does not do what it must."""
