"""Which words of each utterance matter: those of the manifest, of a list, or found by `text.keyword_extraction`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from speechrl.errors import DataError
from speechrl.evaluate.keywords import PhraseIndex
from speechrl.rewards.asr import keyword_counts
from speechrl.text.keyword_extraction import KeywordExtractor
from speechrl.text.normalise import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from speechrl.config.selection import KeywordsConfig


def find_keywords(
    references: Mapping[str, tuple[str | None, str]],
    config: KeywordsConfig,
    named: Mapping[str, Sequence[str]],
) -> dict[str, tuple[str, ...]]:
    """The keywords of every utterance, in the order: manifest, given list, extracted.

    Args:
        references: Key -> (reference or None, language); without a reference there are only those of the manifest.
        config: Where they come from.
        named: Key -> those of the manifest.

    Raises:
        DataError: The list cannot be read.
    """
    given = read_list(Path(config.given).expanduser()) if config.given else []
    indices: dict[str, PhraseIndex] = {}
    for language in {language for _, language in references.values()}:
        indices[language] = PhraseIndex(language)
        indices[language].add(given)
    texts = [(text, language) for text, language in references.values() if text]
    extractor = KeywordExtractor(texts, config.extract, config.rare_share, config.most)
    found = {}
    for key, (text, language) in references.items():
        words: list[str] = list(named.get(key, ())) if config.manifest else []
        if text:
            near = indices[language].candidates(text)
            words += [
                word for word in given if word in near and keyword_counts(text, "", [word], language)[2]
            ]
            words += extractor.extract(text, language)
        first: dict[str, str] = {}
        for word in words:
            first.setdefault(plain(word), word)
        found[key] = tuple(first.values())
    return found


def read_list(path: Path) -> list[str]:
    """A word or phrase a line.

    Raises:
        DataError: There is no such file, or it is not UTF-8.
    """
    if not path.is_file():
        raise DataError(f"keywords.given: {path} does not exist; give a file with a word or phrase a line")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"keywords.given: {path} is not UTF-8 ({error.reason}); save it as UTF-8") from error
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line]
