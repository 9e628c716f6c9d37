"""What can stop a run; each message is one line that a user can act on."""


class RunError(Exception):
    """The experiments could not be run."""


class MissingExtraError(RunError):
    """A library of the `run` extra is not installed."""


class ModelError(RunError):
    """The model could not be loaded."""


class HookError(RunError):
    """An intervention did not fire, fired twice, or had the wrong shape."""
