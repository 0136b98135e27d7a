"""Exceptions of speechrl. Each message names what is wrong, where (file, row, field) and how to mend it.

The command line prints them without a traceback and ends with `exit_code`.
"""

from __future__ import annotations

from typing import ClassVar


class SpeechRLError(Exception):
    """Base of all expected errors."""

    exit_code: ClassVar[int] = 1


class ConfigError(SpeechRLError):
    """A configuration file or override is missing, unknown or of the wrong type."""

    exit_code = 2


class DataError(SpeechRLError):
    """A manifest, row or audio file cannot be used."""

    exit_code = 3


class ModelError(SpeechRLError):
    """A model cannot be found, loaded, or does not fit its parts."""

    exit_code = 4


class RewardError(SpeechRLError):
    """Too large a share of rewards could not be computed."""

    exit_code = 5


class CheckpointError(SpeechRLError):
    """A checkpoint cannot be written or read."""

    exit_code = 6


class TrainingError(SpeechRLError):
    """Training cannot go on: non-finite losses or gradients beyond the limit."""

    exit_code = 7


class MissingExtraError(SpeechRLError):
    """An optional dependency is not installed."""

    exit_code = 8
