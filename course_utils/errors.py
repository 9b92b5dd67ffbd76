"""Errors with messages for users, which say what is wrong and what to do."""


class CourseError(Exception):
    """Base class of errors that a user can fix."""


class DataError(CourseError, ValueError):
    """Images or folders that cannot be used."""


class WeightsError(CourseError):
    """Pretrained weights or a checkpoint that cannot be found, read, or loaded."""


class TrainingError(CourseError):
    """Training cannot continue; `history` has the complete epochs if `fit` raised the error."""

    history = None
