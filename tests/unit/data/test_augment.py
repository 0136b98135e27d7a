"""Distortions do what their numbers say."""

import numpy as np
import pytest

from speechrl.data.augment import add_noise, change_gain, make_noise, telephone_band

RATE_HZ = 16_000


def tone(frequency_hz):
    return np.sin(2 * np.pi * frequency_hz * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)


def power(audio_S):
    return float(np.mean(np.square(audio_S, dtype=np.float64)))


def test_gain_is_in_decibels_of_amplitude():
    np.testing.assert_allclose(change_gain(tone(100), 20.0), 10 * tone(100), rtol=1e-6)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0])
def test_noise_has_the_ratio_asked_for(snr_db):
    speech_S, noise_S = tone(440), make_noise("pink", 5000, RATE_HZ, np.random.default_rng(0))
    added_S = add_noise(speech_S, noise_S, snr_db) - speech_S
    assert 10 * np.log10(power(speech_S) / power(added_S)) == pytest.approx(snr_db, abs=0.01)


def test_noise_under_silence_changes_nothing():
    silence_S = np.zeros(100, np.float32)
    np.testing.assert_array_equal(add_noise(silence_S, tone(440), 0.0), silence_S)


@pytest.mark.parametrize("kind", ["white", "pink", "hum"])
def test_noise_is_seeded_and_of_known_level(kind):
    first, second = (make_noise(kind, 16_000, RATE_HZ, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.sqrt(power(first)) == pytest.approx(0.1, rel=1e-3)


def test_pink_noise_falls_by_3_db_an_octave():
    spectrum = np.abs(np.fft.rfft(make_noise("pink", 2**18, RATE_HZ, np.random.default_rng(0)))) ** 2
    low, high = spectrum[1000:2000].mean(), spectrum[2000:4000].mean()
    assert 10 * np.log10(low / high) == pytest.approx(3.0, abs=0.3)


def test_telephone_keeps_the_band_and_the_length():
    assert 10 * np.log10(power(telephone_band(tone(1000), RATE_HZ)) / power(tone(1000))) > -1
    for outside_hz in (60, 6000):
        assert 10 * np.log10(power(telephone_band(tone(outside_hz), RATE_HZ)) / power(tone(outside_hz))) < -20
    assert len(telephone_band(tone(1000)[:12345], RATE_HZ)) == 12345
