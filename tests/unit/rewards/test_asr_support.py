"""The reward `unsupported`, with a listener that hears letters written into the samples."""

import numpy as np
import pytest
import torch

from speechrl.config.schema import RewardConfig, RewardsConfig
from speechrl.errors import ConfigError
from speechrl.models.asr.recogniser import Recogniser
from speechrl.rewards.asr_support import UnsupportedWords, support_penalty
from speechrl.rewards.base import RewardMixer
from speechrl.types import Context, Ending, Output, Prompt, Score, ScoreStatus

LETTERS = "abcdefgh"
UNKNOWN = len(LETTERS)
BLANK = UNKNOWN + 1


class Letters:
    """The tokenizer of the listener."""

    unk_token_id = UNKNOWN

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": [LETTERS.index(letter) if letter in LETTERS else UNKNOWN for letter in text]}

    def decode(self, ids: list[int]) -> str:
        return " ".join(LETTERS[index] * 3 for index in ids)


class Listener(Recogniser):
    """Sample k of the audio is the symbol of frame k, heard at 97 %."""

    def __init__(self) -> None:
        self.tokenizer = Letters()
        self.listened = 0

    def encode(self, prompts):
        self.listened += len(prompts)
        return [Context(prompt.id, torch.tensor(prompt.audio)) for prompt in prompts]

    def ctc_logprobs(self, context: Context) -> torch.Tensor:
        heard = torch.full((len(context.embeddings_TD), BLANK + 1), 0.03 / BLANK)
        heard[range(len(heard)), context.embeddings_TD.long()] = 0.97
        return heard.log()


def saying(letters: str) -> Prompt:
    """A recording of letters, `.` for a pause."""
    sounds = [BLANK if letter == "." else LETTERS.index(letter) for letter in letters]
    return Prompt("p", "asr", "anything", audio=np.array(sounds, np.float32))


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Listener:
    made = Listener()
    monkeypatch.setattr("speechrl.models.load.load_model", lambda path: made)
    return made


def scores(prompt: Prompt, *texts: str, **options: object) -> list[Score]:
    terms = [RewardConfig(name="unsupported", options=options)]
    outputs = [Output(text, Ending.STOP, len(text)) for text in texts]
    with RewardMixer(RewardsConfig(terms=terms, max_failed_share=1.0)) as mixer:
        return mixer.score([outputs], [prompt])[0]


def test_only_the_answer_with_a_run_beside_the_sound_is_punished(listener: Listener) -> None:
    spoken = saying("..ab..cd..ef...........")
    right, misheard, looped, silent = scores(spoken, "ab cd ef", "ab ch ef", "ab cd ef ef ef", "")
    assert (right.total, misheard.total, looped.total, silent.total) == (0.0, 0.0, -1.0, 0.0)
    assert looped.metrics["unsupported_share"] == pytest.approx(2 / 5)
    assert listener.listened == 1


def test_what_was_heard_is_not_encoded_again_in_later_steps(listener: Listener) -> None:
    judge = UnsupportedWords()
    outputs = [Output(text, Ending.STOP, 1) for text in ("ab", "ab gh gh gh")]
    first, again, other = saying("..ab....."), saying("..ab....."), saying(".ab.gh.gh.gh.")
    before = [verdict.value for verdict in judge.judge(outputs, [first, first])]
    assert [verdict.value for verdict in judge.judge(outputs, [again, again])] == before == [0.0, -1.0]
    assert listener.listened == 1
    assert judge.judge(outputs[1:], [other])[0].value == 0.0  # other sound under the same name
    assert listener.listened == 2


def test_span_follows_the_length(listener: Listener) -> None:
    (score,) = scores(saying("..ab....."), "ab gh gh gh", penalty="span")
    assert score.total == pytest.approx(-3 / 4)


def test_over_silence_a_single_word_is_punished_and_elsewhere_a_run(listener: Listener) -> None:
    (over_silence,) = scores(saying("......"), "ab", min_run=3)
    assert over_silence.total == -1.0
    two, three = scores(saying("..ab......"), "ab cd ef", "ab cd ef gh", min_run=3)
    assert (two.total, three.total) == (0.0, -1.0)


def test_the_other_witness_compares_with_what_is_heard(listener: Listener) -> None:
    right, added = scores(saying("..a.b."), "aaa bbb", "aaa ccc ddd eee bbb", witness="transcript", min_run=3)
    assert (right.total, added.total) == (0.0, -1.0)
    (silent,) = scores(saying("......"), "aaa", witness="transcript", min_run=3)
    assert silent.total == -1.0


def test_what_the_speaker_repeats_is_right(listener: Listener) -> None:
    (score,) = scores(saying(".ab.ab.ab.ab."), "ab ab ab ab", min_run=1)
    assert score.total == 0.0


def test_words_outside_its_alphabet_are_not_judged(listener: Listener) -> None:
    (score,) = scores(saying("......"), "42 нет")
    assert score.total == 0.0


def test_a_row_without_audio_fails_and_is_no_bad_answer(listener: Listener) -> None:
    (score,) = scores(Prompt("p", "asr", "ab"), "ab")
    assert score.status is ScoreStatus.FAILED
    assert "audio" in score.reason


def test_a_model_without_ctc_head_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speechrl.models.load.load_model", lambda path: object())
    with pytest.raises(ConfigError, match="no CTC head"):
        UnsupportedWords(model="voice")


def test_penalties() -> None:
    assert support_penalty((), "span") == 0.0
    assert support_penalty((True, False), "fixed") == -1.0
    assert support_penalty((True, False), "span") == -0.5
