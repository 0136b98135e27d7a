"""Rewards of a synthesiser that need a model: thin adapters between `tts.py`, the scorers and the mixer.

Each is a `forms.Judge` whose keyword arguments are the options of the reward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from speechrl.errors import ConfigError
from speechrl.rewards.scorers.clips import at_16_khz, is_silent
from speechrl.rewards.tts import (
    Shape,
    likelihood,
    liveliness,
    mos_share,
    reading_metrics,
    shaped,
    spoken_accuracy,
)
from speechrl.rewards.verdict import Verdict, failed
from speechrl.text.alignment import align_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from speechrl.models.tts.token2text import Token2Text
    from speechrl.rewards.scorers import Window
    from speechrl.rewards.scorers.clips import Clip
    from speechrl.text.normalise import Unit
    from speechrl.types import Output, Precision, Prompt

TOKEN2TEXT = "package:starter/token2text"
RECOGNISER = "whisper-tiny.en"


class RecogniserAccuracy:
    """`tts.spoken_accuracy` of what a recogniser hears in the waveform.

    Args:
        recogniser: See `scorers.recogniser.load_recogniser_judge`. It must not judge the evaluation too.
        unit: See `tts.spoken_accuracy`.
        shape: See `tts.shaped`.
        floor: See `tts.shaped`.
        window: See `scorers.whisper.WhisperRecogniser`.
    """

    def __init__(
        self,
        *,
        recogniser: str = RECOGNISER,
        unit: Unit = "auto",
        shape: Shape = "linear",
        floor: float | None = -1.0,
        window: Window = "short",
    ) -> None:
        from speechrl.rewards.scorers.recogniser import load_recogniser_judge

        self._recogniser = load_recogniser_judge(recogniser, window=window)
        self._unit, self._shape, self._floor = unit, shape, floor

    def judge(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        """See `forms.Judge`; silence is heard as nothing."""
        return _with_sound(outputs, prompts, self._judge)

    def _judge(self, clips: list[Clip], prompts: list[Prompt]) -> list[Verdict]:
        verdicts = []
        for heard, prompt in zip(self._recogniser.transcribe(clips), prompts, strict=True):
            value = spoken_accuracy(prompt.text, heard, prompt.language, self._unit, self._shape, self._floor)
            verdicts.append(Verdict(value, heard=heard))
        return verdicts


class RecogniserLikelihood:
    """`tts.likelihood` of the text under a Whisper that hears the waveform; logs `recogniser_nll`. 0 for silence.

    Args:
        recogniser: `whisper-tiny.en` or `whisper-base`: others cannot be asked how likely a text is.
        window: See `scorers.whisper.WhisperRecogniser`.
    """

    def __init__(self, *, recogniser: str = RECOGNISER, window: Window = "short") -> None:
        from speechrl.rewards.scorers.recogniser import load_recogniser_judge
        from speechrl.rewards.scorers.whisper import WhisperRecogniser

        loaded = load_recogniser_judge(recogniser, window=window)
        if not isinstance(loaded, WhisperRecogniser):
            raise ConfigError(
                f"reward 'recogniser_nll': {recogniser} cannot tell how likely a text is; use whisper-tiny.en or "
                "whisper-base"
            )
        self._whisper = loaded

    def judge(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        """See `forms.Judge`."""
        return _with_sound(outputs, prompts, self._judge)

    def _judge(self, clips: list[Clip], prompts: list[Prompt]) -> list[Verdict]:
        # Shown silence, a Whisper still finds some texts likelier than others.
        audible = [not is_silent(at_16_khz(clip)) for clip in clips]
        asked = [pair for pair, heard in zip(zip(clips, prompts, strict=True), audible, strict=True) if heard]
        values = iter(
            self._whisper.nll([clip for clip, _ in asked], [prompt.text for _, prompt in asked])
            if asked
            else []
        )
        return [
            Verdict(likelihood(nll := next(values)), metrics={"recogniser_nll": nll})
            if heard
            else Verdict(0.0)
            for heard in audible
        ]


class TokenReader:
    """A judge of speech tokens.

    Attributes:
        token2text: What it reads with.
        folder: Where that is, as it was named.
    """

    token2text: Token2Text
    folder: str


class TokenAccuracy(TokenReader):
    """`tts.spoken_accuracy` of what Token2Text reads in the speech tokens, without sound; logs `token_cer`.

    Args:
        model: Folder of a Token2Text over the policy's speech tokens.
        unit: Errors by letter unless set: its transcripts are spelled, and one wrong letter of `seven` is no `7`.
        shape: See `tts.shaped`.
        floor: See `tts.shaped`.
    """

    def __init__(
        self,
        *,
        model: str = TOKEN2TEXT,
        unit: Unit = "letter",
        shape: Shape = "linear",
        floor: float | None = -1.0,
    ) -> None:
        from speechrl.models.tts.token2text import load_token2text

        self.token2text, self.folder = load_token2text(model), model
        self._unit, self._shape, self._floor = unit, shape, floor

    def judge(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        """See `forms.Judge`."""
        verdicts = []
        transcripts = self.token2text.transcribe([output.token_ids for output in outputs])
        for heard, prompt in zip(transcripts, prompts, strict=True):
            rate = align_texts(prompt.text, heard, prompt.language, self._unit).error_rate
            metrics = reading_metrics(prompt.text, heard, prompt.language)
            verdicts.append(Verdict(shaped(rate, self._shape, self._floor), heard=heard, metrics=metrics))
        return verdicts


class TokenLikelihood(TokenReader):
    """`tts.likelihood` of the text under Token2Text, by character, without sound; logs `token_cer`.

    0 where the tokens are too few for the text: no path of the CTC fits.

    Args:
        model: Folder of a Token2Text over the policy's speech tokens.
    """

    def __init__(self, *, model: str = TOKEN2TEXT) -> None:
        from speechrl.models.tts.token2text import load_token2text
        from speechrl.models.tts.token2text_parts import spell

        self.token2text, self.folder = load_token2text(model), model
        self._spell = spell

    def judge(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        """See `forms.Judge`."""
        tokens, texts = [output.token_ids for output in outputs], [prompt.text for prompt in prompts]
        nll_B, read = self.token2text.nll(tokens, texts), self.token2text.transcribe(tokens)
        return [
            Verdict(
                likelihood(nll / max(len(self._spell(prompt.text)), 1)),
                metrics=reading_metrics(prompt.text, transcript, prompt.language),
            )
            for nll, transcript, prompt in zip(nll_B.tolist(), read, prompts, strict=True)
        ]


class VoiceSimilarity:
    """Cosine between speaker embeddings of waveform and reference voice, in [0, 1]; 0 for silence."""

    def __init__(self) -> None:
        from speechrl.rewards.scorers.speaker import SpeakerScorer

        self._speaker = SpeakerScorer()

    def judge(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        """See `forms.Judge`; fails where the prompt brings no reference voice, or a silent one."""
        return _with_sound(outputs, prompts, self._judge)

    def _judge(self, clips: list[Clip], prompts: list[Prompt]) -> list[Verdict]:
        problems = [_voice_problem(prompt) for prompt in prompts]
        triples = zip(clips, prompts, problems, strict=True)
        voiced = [(clip, prompt) for clip, prompt, problem in triples if not problem]
        references = [
            (prompt.audio, prompt.sample_rate_hz) for _, prompt in voiced if prompt.audio is not None
        ]
        values = iter(self._speaker.similarity([clip for clip, _ in voiced], references))
        return [failed(problem) if problem else Verdict(next(values)) for problem in problems]


class Quality:
    """`tts.mos_share` of a learned mean opinion score; logs the score itself under the name of the model.

    Args:
        model: DistillMOS separates systems best; DNSMOS is the more widely reported one.
        precision: Of DistillMOS. See `scorers.quality.DistillMOS`.
    """

    def __init__(
        self,
        *,
        model: Literal["distillmos", "dnsmos"] = "distillmos",
        precision: Precision = "fp32",
    ) -> None:
        from speechrl.rewards.scorers.quality import DNSMOS, DistillMOS

        self._scorer = DistillMOS(precision) if model == "distillmos" else DNSMOS()
        self._name = model

    def judge(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        """See `forms.Judge`."""
        return _with_sound(outputs, prompts, self._judge)

    def _judge(self, clips: list[Clip], prompts: list[Prompt]) -> list[Verdict]:  # noqa: ARG002
        return [Verdict(mos_share(mos), metrics={self._name: mos}) for mos in self._scorer.mos(clips)]


class PitchSpread:
    """`tts.liveliness`; logs `log_f0_std`. Speech without voiced frames is worth 0, and is not a failure.

    Args:
        cap: See `tts.liveliness`.
    """

    def __init__(self, *, cap: float | None = 0.35) -> None:
        from speechrl.rewards.scorers.pitch import PitchTracker

        self._tracker = PitchTracker()
        self._cap = cap

    def judge(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        """See `forms.Judge`."""
        return _with_sound(outputs, prompts, self._judge)

    def _judge(self, clips: list[Clip], prompts: list[Prompt]) -> list[Verdict]:  # noqa: ARG002
        spreads = self._tracker.spreads(clips)
        return [Verdict(liveliness(std, self._cap), metrics={"log_f0_std": std}) for std in spreads]


def _with_sound(
    outputs: Sequence[Output],
    prompts: Sequence[Prompt],
    judge: Callable[[list[Clip], list[Prompt]], list[Verdict]],
) -> list[Verdict]:
    """Judge the outputs that have a waveform; no samples are a bad answer, no waveform at all is a failure."""
    clips, asked = [], []
    for output, prompt in zip(outputs, prompts, strict=True):
        if output.waveform is not None:
            clips.append((output.waveform, output.sample_rate_hz))
            asked.append(prompt)
    verdicts = iter(judge(clips, asked) if clips else [])
    missing = failed("needs a waveform, and none was made: decode with audio=True")
    return [missing if output.waveform is None else next(verdicts) for output in outputs]


def _voice_problem(prompt: Prompt) -> str:
    """Why nothing can be compared with a prompt's reference voice; empty where it can."""
    if prompt.audio is None or not len(prompt.audio):
        return "has no reference voice to compare with: give the row an `audio`"
    return "has a silent reference voice: give the row another `audio`" if is_silent(prompt.audio) else ""
