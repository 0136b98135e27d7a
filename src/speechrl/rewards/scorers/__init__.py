"""Real models that listen: what is said, by whom, how well it sounds and how lively. Each loads when it is made."""

from typing import Literal

Window = Literal["full", "short"]
"""How much of the silence behind a clip a recogniser is shown; see `whisper.WhisperRecogniser`."""
