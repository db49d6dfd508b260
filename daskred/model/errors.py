"""What can go wrong, by name."""


class DaskredError(Exception):
    """Base of every error that daskred raises on purpose.

    Examples
    --------
    >>> import daskred
    >>> try:
    ...     daskred.open_night("/nowhere")
    ... except daskred.DaskredError as error:
    ...     print(error)
    /nowhere: no such file or folder
    """


class RequestError(DaskredError):
    """The request itself cannot be carried out as it was made; nothing was written.

    The message names what was asked for, why it cannot be done, and the way out.

    Examples
    --------
    >>> import daskred
    >>> try:
    ...     daskred.Options(reject_low=-1)
    ... except RequestError as error:
    ...     print("--reject-low" in str(error))
    True
    """


class RunError(DaskredError):
    """A run had to stop; what it finished stands, and the same command goes on from there.

    Examples
    --------
    >>> str(RunError("stopped: the disk is full"))
    'stopped: the disk is full'
    """


class FrameError(DaskredError):
    """One frame cannot be used; the others can.

    Parameters
    ----------
    path
        The frame's file.
    reason
        Why it cannot be used, in words for the observer.

    Examples
    --------
    >>> str(FrameError("/n/a.fits", "is truncated"))
    '/n/a.fits: is truncated'
    """

    def __init__(self, path: str, reason: str) -> None:
        # Both go to Exception's arguments, so that the error survives pickling between processes.
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class UnreadableError(FrameError):
    """A file is there, or may be, and cannot be read now: nothing is known of what it holds."""


class FramesError(DaskredError):
    """Several frames of one task cannot be used.

    Parameters
    ----------
    errors
        One error for each of these frames.

    Examples
    --------
    >>> len(FramesError((FrameError("/n/a.fits", "is truncated"),)).errors)
    1
    """

    def __init__(self, errors: tuple[FrameError, ...]) -> None:
        super().__init__(errors)
        self.errors = errors

    def __str__(self) -> str:
        return "; ".join(map(str, self.errors))


class NoSkyError(FramesError):
    """Science frames cannot go into a master of sky frames, and are good science frames still."""


class FallsApartError(FramesError):
    """The frames of a master are of two sorts.

    Parameters
    ----------
    errors
        As of `FramesError`.
    cards
        In which they differ.
    """

    def __init__(self, errors: tuple[FrameError, ...], cards: tuple[str, ...]) -> None:
        super().__init__(errors)
        self.cards = cards
