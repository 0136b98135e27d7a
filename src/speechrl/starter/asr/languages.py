"""What differs between the recipes of starter recognisers, by language: encoder, sentences, voices, amounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechrl.starter.asr import texts, texts_it

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from speechrl.starter.asr.texts import Sentence


@dataclass(frozen=True)
class Language:
    """The recipe of one language.

    Attributes:
        encoder: Hub name of the Whisper that listens.
        sentences: All usable sentences for a seed, shuffled, and counts of them.
        source_shares: Share of the hours by source of sentences.
        voice_shares: Share of the utterances by voice.
        seconds_per_character: Mean over the voices.
        seconds_per_utterance: Margins of silence; only the number of sentences drawn depends on these two.
        hours: Of synthetic speech.
        epochs: Of each of the two cycles of training.
    """

    encoder: str
    sentences: Callable[[int], tuple[list[Sentence], dict[str, int]]]
    source_shares: Mapping[str, float]
    voice_shares: Mapping[str, float]
    seconds_per_character: float
    seconds_per_utterance: float
    hours: float
    epochs: float


def _spread(share: float, voices: tuple[str, ...]) -> dict[str, float]:
    return {f"espeak-{name}": share / len(voices) for name in voices}


LANGUAGES = {
    "en": Language(
        encoder="openai/whisper-tiny.en",
        sentences=texts.collect_sentences,
        source_shares={
            "templates": 0.32,
            "fortunes": 0.33,
            "wordnet": 0.22,
            "packages": 0.08,
            "chatterbot": 0.03,
            "words": 0.02,
        },
        voice_shares={
            "hibari-heart": 0.44,
            "piper-joe": 0.14,
            "flite-slt": 0.10,
            "flite-rms": 0.07,
            "flite-awb": 0.06,
            "flite-kal16": 0.04,
            **_spread(
                0.15,
                (
                    *("en-us", "en-us+f2", "en-us+f3", "en-us+m3", "en-us+m7", "en-us+Andy", "en-us+steph"),
                    *("en-us-nyc", "en-us-nyc+f5", "en-gb", "en-gb+f4", "en-gb-scotland", "en-gb-x-rp"),
                    *("en-gb-x-rp+f1", "en-gb-x-gbclan", "en-029", "en-029+f3"),
                ),
            ),
        },
        seconds_per_character=0.055,
        seconds_per_utterance=0.6,
        hours=24.0,
        epochs=3.0,
    ),
    "it": Language(
        encoder="openai/whisper-base",
        sentences=texts_it.collect_sentences,
        source_shares={"templates": 0.34, "fortunes": 0.6, "chatterbot": 0.04, "words": 0.02},
        voice_shares={
            "pico-it-IT": 0.44,
            "festival-lp": 0.18,
            "festival-pc": 0.22,
            **_spread(
                0.16,
                (
                    *("it", "it+m2", "it+m3", "it+m7", "it+f2", "it+f3", "it+f4", "it+steph"),
                    *("it+sandro", "it+Marco", "it+linda"),
                ),
            ),
        },
        seconds_per_character=0.068,
        seconds_per_utterance=0.6,
        hours=12.0,
        epochs=5.0,
    ),
}
