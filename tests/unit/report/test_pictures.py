"""Mel spectrograms and the PNG files that hold them."""

import struct
import zlib

import numpy as np
import pytest

from speechrl.report.pictures import BANDS, MAX_FRAMES, SHADES, data_uri, mel_picture, mel_power, png

RATE_HZ = 16_000


def tone(hertz, seconds=1.0, rate=RATE_HZ):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def decoded(content):
    """Pixels of an indexed PNG whose lines are not filtered, read by the letter of RFC 2083."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(content):
        (size,) = struct.unpack(">I", content[place : place + 4])
        kind, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + size]
        (checksum,) = struct.unpack(">I", content[place + 8 + size : place + 12 + size])
        assert checksum == zlib.crc32(kind + body)
        chunks[kind] = body
        place += 12 + size
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, colour, rest) == (8, 3, [0, 0, 0])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:], np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)


def test_a_png_holds_its_pixels():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    palette = np.arange(36, dtype=np.uint8).reshape(12, 3)
    found, colours = decoded(png(pixels, palette))
    assert (found == pixels).all()
    assert (colours == palette).all()


@pytest.mark.parametrize("hertz", [200, 1000, 4000])
def test_a_tone_is_a_line_at_its_height(hertz):
    power = mel_power(tone(hertz), RATE_HZ)
    assert power.shape[0] == BANDS
    top_mel = 2595 * np.log10(1 + 8000 / 700)
    expected = 2595 * np.log10(1 + hertz / 700) / top_mel * (BANDS + 1) - 1
    assert power.sum(1).argmax() == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_a_pixel_is_ten_milliseconds_at_any_rate(rate):
    pixels, palette = decoded(mel_picture(tone(500, 2.0, rate), rate))
    assert pixels.shape[0] == BANDS
    assert pixels.shape[1] == pytest.approx(200, abs=2)
    assert len(palette) == SHADES


def test_later_sound_is_further_right_and_higher_sound_further_up():
    pixels, _ = decoded(mel_picture(np.concatenate([tone(300), tone(3000)]), RATE_HZ))
    early, late = pixels[:, 20:80].mean(1), pixels[:, 120:180].mean(1)
    assert early.argmax() > late.argmax()  # line 0 is on top


def test_silence_nothing_and_an_endless_clip_have_pictures():
    for clip in (np.zeros(RATE_HZ, np.float32), np.zeros(0, np.float32)):
        pixels, _ = decoded(mel_picture(clip, RATE_HZ))
        assert (pixels == 0).all()
    pixels, _ = decoded(mel_picture(np.tile(tone(200, 10.0), 6), RATE_HZ))
    assert pixels.shape[1] <= MAX_FRAMES + 2


def test_a_data_uri_says_its_type():
    assert data_uri(b"abc", "image/png") == "data:image/png;base64,YWJj"
