"""The rule that makes a set of human speech, on hand-made prompts of both languages."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[3] / "data" / "asterisk"


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("build")


@pytest.mark.parametrize(
    ("code", "prompt", "raw", "text"),
    [
        ("en", "any", "press 1 or * ...", "Press one or star."),
        ("en", "vm-savefolder", "damaged", "Which folder should I save this message to?"),
        ("en", "any", 'a polite "don\'t call" menu', 'A polite "don\'t call" menu.'),
        ("it", "any", "E' in uso.", "È in uso."),
        ("it", "any", "l’utente (nota) premere 2 o #…", "L'utente premere due o cancelletto."),
        ("it", "conf-full", "La conferenza ? piena.", "La conferenza è piena."),
        ("it", "any", "Perpiacere, torna al menù.", "Per piacere, torna al menu."),
    ],
)
def test_transcripts_become_what_is_said(
    build: ModuleType, code: str, prompt: str, raw: str, text: str
) -> None:
    assert build.clean(prompt, raw, build.LANGUAGES[code]) == text


@pytest.mark.parametrize(
    ("code", "text", "ambiguous"),
    [
        ("en", "The letter B.", True),
        ("en", "I am sorry.", False),
        ("it", "B come bologna.", True),
        ("it", "L'utente c'è.", False),
        ("it", "Hai.", True),
        ("it", "O nove per uscire.", False),
    ],
)
def test_what_the_sound_does_not_decide_is_practised_on_at_most(
    build: ModuleType, code: str, text: str, ambiguous: bool
) -> None:
    assert bool(build.LANGUAGES[code].AMBIGUOUS.search(text)) is ambiguous


def test_near_copies_stay_together_and_no_text_is_lost(build: ModuleType) -> None:
    italian = build.LANGUAGES["it"]
    texts = [f"{verb} il messaggio {word} per uscire." for verb in ("Ascolti", "Salvi") for word in "abcdef"]
    texts += [f"Numero {n}." for n in ("uno", "due", "tre", "quattro")] + [
        "Salvi il messaggio a per uscire ora."
    ]
    sources = [
        build.Source(f"p{i}", text, text, build.words_of(text, italian), np.zeros(160, np.int16))
        for i, text in enumerate(texts)
    ]
    clusters = build.cluster(sources, italian)
    parts = build.split(clusters, italian)
    assert sorted(one.id for part in parts.values() for one in part) == sorted(one.id for one in sources)
    where = {one.id: name for name, part in parts.items() for one in part}
    for group in clusters:
        assert len({where[one.id] for one in group}) == 1
    assert {"p6", "p16"} <= {one.id for group in clusters for one in group if len(group) > 1}


def test_an_elided_article_does_not_hide_a_keyword(build: ModuleType) -> None:
    italian = build.LANGUAGES["it"]
    text = "Premere due per usare l'elenco."
    source = build.Source("p", text, text, build.words_of(text, italian), np.zeros(160, np.int16))
    assert build.keywords_of(source, Counter(source.words), italian) == ["usare", "elenco"]


@pytest.mark.parametrize("code", ["en", "it"])
def test_the_tables_of_a_language_are_whole(build: ModuleType, code: str) -> None:
    language = build.LANGUAGES[code]
    assert len(language.DIGITS) == 10
    assert not set(language.FIXES) & set(language.UNCLEAR)
    for prompt, text in language.FIXES.items():
        assert "?" not in text[:-1], prompt
        assert build.clean(prompt, "", language)[-1] in ".?!"
