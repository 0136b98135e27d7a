"""Counts and rates of a set on hand-made texts, and against jiwer."""

import json
import random

import jiwer
import numpy as np
import pytest

from speechrl.evaluate.asr import evaluate_texts, transcribe
from speechrl.evaluate.results import Evaluation, SetResult, assemble, read_evaluation
from speechrl.text.normalise import normalise
from speechrl.types import Context, Ending, Output, Prompt, Rollout


def prompt(name: str, text: str, language: str = "en", keywords: tuple[str, ...] = ()) -> Prompt:
    return Prompt(name, "asr", text, language, keywords)


@pytest.fixture
def result() -> SetResult:
    prompts = [
        prompt("a", "Please call Berlin", keywords=("Berlin",)),
        prompt("b", "press one to go home", keywords=("home",)),
        prompt("c", "yes"),
    ]
    return evaluate_texts(
        prompts, ["please call merlin", "press the one to go", "yes home"], ["stop", "length", "stop"]
    )


def test_counts_and_rates_are_those_done_by_hand(result):
    numbers = result.to_json(resamples=200)
    counts = {
        name: numbers[name] for name in ("substitutions", "deletions", "insertions", "words", "utterances")
    }
    # a: Berlin became merlin; b: one too many, home missing; c: home too many.
    assert counts == {"substitutions": 1, "deletions": 1, "insertions": 2, "words": 9, "utterances": 3}
    assert numbers["wer"] == pytest.approx(4 / 9)
    assert numbers["mean_utterance_wer"] == pytest.approx((1 / 3 + 2 / 5 + 1) / 3)
    assert numbers["wer_low"] <= 4 / 9 <= numbers["wer_high"]
    assert numbers["length_cut_rate"] == pytest.approx(1 / 3)
    assert numbers["non_empty_rate"] == 1.0
    assert numbers["unit"] == "word"


def test_keywords_count_false_alarms_anywhere_in_the_set(result):
    # Berlin missed, home missed in b, home said in c where nobody said it.
    assert (result.keywords.hits, result.keywords.misses, result.keywords.false_alarms) == (0, 2, 1)
    numbers = result.to_json(resamples=10)
    assert (numbers["keyword_precision"], numbers["keyword_recall"], numbers["keyword_f1"]) == (0.0, 0.0, 0.0)


def test_keyword_phrases_and_harmonic_mean():
    prompts = [prompt(name, "new york is far", keywords=("New York",)) for name in "abcd"]
    texts = ["new york is far", "new york is far", "york is far", "new york new york is far"]
    counts = evaluate_texts(prompts, texts).keywords
    assert (counts.hits, counts.misses, counts.false_alarms) == (3, 1, 1)
    assert counts.precision == counts.recall == counts.f1 == 0.75


def test_silence_has_no_error_rate_but_insertions_and_a_non_empty_rate():
    silent = [prompt(name, "") for name in "abcd"]
    numbers = evaluate_texts(silent, ["", "thank you", " .", ""]).to_json(resamples=50)
    assert numbers["wer"] is None
    assert numbers["wer_low"] is None
    assert numbers["insertion_rate"] is None
    assert numbers["insertions"] == 2
    assert numbers["non_empty_rate"] == 0.25
    assert numbers["hallucination_rate"] == 0.25
    json.dumps(numbers, allow_nan=False)


def test_empty_references_in_a_spoken_set_count_by_their_insertions():
    numbers = evaluate_texts(
        [prompt("a", "one two three four"), prompt("b", "")], ["one two three four", "hello you"]
    )
    assert numbers.errors == 2
    assert numbers.wer == numbers.errors / numbers.words


def test_chinese_is_counted_by_character():
    numbers = evaluate_texts([prompt("a", "今天天气很好。", "zh")], ["今天天汽好"]).to_json(resamples=10)
    assert (numbers["words"], numbers["substitutions"], numbers["deletions"]) == (6, 1, 1)
    assert numbers["unit"] == "character"


def test_totals_agree_with_jiwer():
    generator = random.Random(3)
    vocabulary = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet"]
    prompts, texts = [], []
    for index in range(60):
        words = generator.choices(vocabulary, k=generator.randint(1, 12))
        prompts.append(prompt(str(index), " ".join(words)))
        spoilt = [generator.choice(vocabulary) if generator.random() < 0.2 else word for word in words]
        texts.append(
            " ".join(word for word in spoilt if generator.random() > 0.1)
            + generator.choice(["", " golf hotel"])
        )
    ours = evaluate_texts(prompts, texts)
    theirs = jiwer.process_words(
        [normalise(item.text) for item in prompts], [normalise(text) for text in texts]
    )
    assert ours.errors == theirs.substitutions + theirs.deletions + theirs.insertions
    assert ours.words == theirs.hits + theirs.substitutions + theirs.deletions
    numbers = ours.to_json(resamples=10)
    # The split into kinds is not unique, but insertions - deletions is.
    assert numbers["insertions"] - numbers["deletions"] == theirs.insertions - theirs.deletions
    assert numbers["wer"] == pytest.approx(theirs.wer)


def test_evaluation_json_has_the_promised_shape():
    prompts = [prompt(str(index), "press the pound key now") for index in range(40)]
    silent = [prompt("s", ""), prompt("t", "")]
    before = Evaluation(
        {
            "test": evaluate_texts(prompts, ["press a bound key"] * 40),
            "silence": evaluate_texts(silent, ["you", "you"]),
        },
        {"test": 1.0, "silence": 0.1},
    )
    after = Evaluation(
        {
            "test": evaluate_texts(prompts, ["press the bound key now"] * 40),
            "silence": evaluate_texts(silent, ["", ""]),
        },
        {"test": 1.0, "silence": 0.1},
    )
    content = assemble(before, after, resamples=200)
    assert set(content) == {"before", "after", "paired", "seconds"}
    assert set(content["paired"]["test"]) == {"relative_change", "low", "high", "p", "measure"}
    assert content["paired"]["test"]["relative_change"] == pytest.approx(1 / 3 - 1)
    assert content["paired"]["test"]["p"] < 0.05
    assert content["paired"]["silence"]["measure"] == "insertions"
    assert content["paired"]["silence"]["relative_change"] == -1.0
    assert content["seconds"]["before"]["test"] == 1.0
    json.dumps(content, allow_nan=False)
    alone = assemble(None, after)
    assert alone["before"] == alone["paired"] == {}


def test_an_evaluation_survives_its_folder(tmp_path, result):
    written = Evaluation({"test": result}, {"test": 2.5})
    assert read_evaluation(tmp_path / "none") is None
    written.write(tmp_path)
    assert read_evaluation(tmp_path) == written


def test_an_evaluation_survives_separators_in_its_texts(tmp_path):
    prompt = Prompt("a", "asr", "one\u2028two\x85three")
    written = Evaluation({"test": evaluate_texts([prompt], ["one two\u2028three"])}, {"test": 1.0})
    written.write(tmp_path)
    assert read_evaluation(tmp_path) == written


class Parrot:
    """A model that recognises the first sample of the audio, and remembers its batches."""

    def __init__(self):
        self.batches = []

    def encode(self, prompts):
        self.batches.append([item.duration_s for item in prompts])
        return [Context(item.id, item.audio[:1]) for item in prompts]

    def decode(self, groups):
        return [[Output(str(int(group.context.embeddings_TD[0])), Ending.STOP, 1)] for group in groups]


def test_batches_are_of_like_duration_and_answers_keep_their_order():
    lengths = [3, 9, 1, 7, 5]
    prompts = [
        Prompt(str(number), "asr", "", audio=np.full(length * 100, number, np.float32))
        for number, length in enumerate(lengths)
    ]
    model = Parrot()
    outputs = transcribe(
        model,
        prompts,
        lambda contexts: [Rollout(c.prompt_id, (1,), (0.0,), Ending.STOP) for c in contexts],
        2,
    )
    assert [output.text for output in outputs] == ["0", "1", "2", "3", "4"]
    assert [len(batch) for batch in model.batches] == [2, 2, 1]
    flat = [duration for batch in model.batches for duration in batch]
    assert flat == sorted(flat, reverse=True)
