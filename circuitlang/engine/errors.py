"""What can stop a run; each message is one line that a user can act on."""


class RunError(Exception):
    """The experiments could not be run."""


class MissingExtraError(RunError):
    """A library of the `run` extra is not installed."""


class ModelError(RunError):
    """The model could not be loaded."""


class HookError(RunError):
    """An intervention did not fire, fired twice, or had the wrong shape."""


MEASURING_ERRORS = (HookError, RuntimeError, ValueError, IndexError)
"""What an intervention that does not fit its model or its prompts may raise."""


def one_line(error: BaseException, longest: int = 300) -> str:
    """A library's message without its line breaks; the error's kind where it says nothing."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= longest else text[: longest - 3] + "..."
