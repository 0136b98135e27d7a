"""Sentences to be spoken, in the alphabet of the starter synthesiser, and the guard that keeps training off the tests.

The sources are those of the starter recogniser (`speechrl.starter.asr.texts`). Here a sentence keeps its punctuation:
`text` is lower-case words of [a-z'] with . , ? ! after a word, and `raw` is the same with capitals, for the engines.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechrl.errors import DataError
from speechrl.starter.asr import templates
from speechrl.starter.asr.texts import Sentence, forbidden_from, normalise, overlaps, read_sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from speechrl.starter.asr.texts import Forbidden

HELD_OUT_SETS = ("dev", "test", "hard", "voices")
TEMPLATES_DRAWN = 4000
LONGEST_WORDS = 40
MAX_COMMA_SHARE = 0.3

SPOKEN = re.compile(r"[a-z]+(?:'[a-z]+)*[.,?!]?(?: [a-z]+(?:'[a-z]+)*[.,?!]?)*")
"""What a text to be spoken looks like."""
_QUESTION_WORDS = frozenset(
    ("what", "who", "where", "when", "why", "how", "which", "whose", "can", "do", "does", "did")
)
# Quotations joke about groups of people and about griefs, and a filter cannot tell the good ones; so, on top of what
# the recogniser's corpus leaves out, none with these words is read aloud.
_TOUCHY = """
hell ass arse crap goddamn goddam bloody breast breasted nude nudity lesbian lesbians homosexual homosexuals gay
gays sexy sexist lust erotic intercourse condom condoms penis vagina genital genitals genitalia rapist rapes murder
murdered murderer murders kills killing killer killers corpse corpses slave slaves slavery racist racial negroes
black's blacks whites jewish muslim muslims islam islamic christian christians catholic catholics jesus christ god
god's gods mohammed terrorist terrorists terrorism holocaust genocide massacre massacred torture tortured drug drugs
cocaine heroin marijuana dope stoned drunk drunken whiskey abortion abortions incest pimp pimps whorehouse brothel
prostitutes prostitution hanged hang lynch lynched execution executed gun guns shot shoot bomb bombs stupid idiot
idiots moron morons retard retarded retards cripple crippled fat ugly blonde blondes wife's bimbo dumb loser losers
hate hated bosom thigh thighs buttocks butt seduce seduced seduction mistress mistresses womanizer adultery screw
screwed murdering pregnant messiah saviour soliciting solicited mafia submissive toilet gunning sucks suck bugger
dung fart urine urinate vomit vomited puke excrement feces syphilis hookers hooker
"""
# Names that are everyday words as well. Others, such as "hall", only make the guard below stricter.
_EVERYDAY = """
may mark long young brown white green gray hill price wood grace bill street city park lake river church main spring
mill forest center garden
"""
_UNFIT_WORDS = frozenset(_TOUCHY.split())


def _slot_words() -> frozenset[str]:
    values = (*range(21), *range(30, 100, 10), 10**2, 10**3, 10**6)
    numbers = [templates.number_words(value) for value in values]
    names = [" ".join(templates.RULES[rule]) for rule in ("first", "last", "city", "day", "month", "street")]
    return frozenset(normalise(" ".join(numbers + names)).split()) - frozenset(_EVERYDAY.split())


_SLOT_WORDS = _slot_words()


def spoken_text(raw: str) -> str:
    """What a synthesiser is asked to speak: lower-case words with . , ? ! after them; other signs part words or pause.

    >>> spoken_text("Don't panic; it's a well-known 'trick'!")
    "don't panic, it's a well known trick!"
    """
    lowered = re.sub(r"[;:]", ",", raw.lower())
    lowered = re.sub(r"(?<![a-z])'|'(?![a-z])|[^a-z' .,?!]", " ", lowered)
    lowered = re.sub(r"\s*([.,?!])[\s.,?!]*", r"\1 ", lowered)
    return " ".join(lowered.split()).lstrip(" .,?!")


def ended(sentence: Sentence) -> Sentence:
    """The sentence with a stop at its end, and `text` with punctuation, as the synthesiser gets it."""
    raw = sentence.raw.rstrip(" ,;")
    if raw[-1] not in ".?!":
        asks = sentence.source == "chatterbot" and sentence.text.split()[0] in _QUESTION_WORDS
        raw += "?" if asks else "."
    raw = raw.replace(";", ",")
    return Sentence(raw, spoken_text(raw), sentence.source)


def is_fit(sentence: Sentence) -> bool:
    """Whether a sentence may be read aloud to anybody, and has no letters to spell, speaker's names or torn syntax."""
    words = sentence.text.split()
    if ":" in sentence.raw or sentence.raw.count(",") > max(1.0, MAX_COMMA_SHARE * len(words)):
        return False
    return not any(word in _UNFIT_WORDS or (len(word) == 1 and word not in "aio") for word in words)


def pool(seed: int) -> dict[str, list[Sentence]]:
    """All usable sentences by source, ended and shuffled by `seed`.

    Raises:
        DataError: a source is not installed.
    """
    rng = random.Random(seed)
    found_in: dict[str, list[Sentence]] = {}
    for source, found in read_sources(rng, TEMPLATES_DRAWN, LONGEST_WORDS).items():
        fit = [ended(sentence) for sentence in found if is_fit(sentence)]
        rng.shuffle(fit)
        found_in[source] = fit
    return found_in


def count_words(text: str) -> int:
    """Number of words; punctuation sticks to them."""
    return len(text.split())


def _variants(words: Sequence[str]) -> set[tuple[str, ...]]:
    """A sentence with numbers and names as one slot, and each of its words in turn as another."""
    masked: list[str] = []
    for word in words:
        mark = "#" if word in _SLOT_WORDS else word
        if not (mark == "#" and masked and masked[-1] == "#"):
            masked.append(mark)
    return {(*masked[:index], "*", *masked[index + 1 :]) for index in range(len(masked))}


@dataclass(frozen=True)
class HeldOut:
    """Sentences of the evaluation sets, indexed so that one asks whether a training sentence comes too near."""

    forbidden: Forbidden
    variants: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, texts: Iterable[str]) -> HeldOut:
        """Index these texts."""
        words = [normalise(text).split() for text in texts]
        variants = frozenset(variant for sentence in words for variant in _variants(sentence))
        return cls(forbidden_from(" ".join(sentence) for sentence in words), variants)

    def is_near(self, text: str) -> bool:
        """Whether `text` is held out, shares 6 words in a row, or differs in one word only, numbers and names aside.

        The last is how two fills of one template look. Punctuation and case do not count.
        """
        words = normalise(text).split()
        return overlaps(" ".join(words), self.forbidden) or not self.variants.isdisjoint(_variants(words))


def read_texts(path: Path) -> list[str]:
    """The texts of a manifest in JSONL.

    Raises:
        DataError: there is no such file.
    """
    if not path.is_file():
        raise DataError(f"{path}: not found; make it with python data/tts_en/build.py")
    return [str(json.loads(line)["text"]) for line in path.read_text("utf-8").splitlines()]
