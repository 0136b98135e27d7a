"""Derived sets: long items, noise, telephone, silence."""

import json

import numpy as np
import pytest
import soundfile as sf

from speechrl.data.derive import join_long, read_set, read_sets
from speechrl.data.manifests import read_manifest
from speechrl.data.prompts import to_prompt
from speechrl.errors import DataError


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("derive")
    rng = np.random.default_rng(0)
    rows = []
    for index in range(30):
        audio = 0.1 * rng.standard_normal(round(rng.uniform(0.5, 6.0) * 16_000))
        sf.write(folder / f"{index}.wav", audio, 16_000)
        rows.append(
            {
                "id": f"u{index}",
                "audio": f"{index}.wav",
                "text": f"word{index}.",
                "keywords": [f"word{index}"],
            }
        )
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "m.jsonl"


def test_long_items_use_every_prompt_and_stay_within_the_limits(manifest):
    cuts = read_set(f"{manifest}#long")
    assert all(15 <= cut.duration <= 40 for cut in cuts)
    words = [word for cut in cuts for word in cut.supervisions[0].text.split()]
    assert set(words) == {f"word{index}." for index in range(30)}
    counts = np.unique(words, return_counts=True)[1]
    assert counts.max() <= 2


def test_long_audio_is_the_prompts_in_the_order_of_the_text(manifest):
    sources = {cut.supervisions[0].text: to_prompt(cut).audio for cut in read_manifest(manifest)}
    long = to_prompt(read_set(f"{manifest}#long")[0])
    words = long.text.split()
    assert long.keywords == tuple(word.rstrip(".") for word in words)
    position = 0
    for index, word in enumerate(words):
        audio_S = sources[word]
        if index:
            position += int(np.argmax(long.audio[position:] != 0))
        np.testing.assert_allclose(long.audio[position : position + len(audio_S)], audio_S, atol=1e-4)
        position += len(audio_S)
    assert position == len(long.audio)


def test_the_seed_decides(manifest):
    cuts = read_manifest(manifest)
    texts = [[cut.supervisions[0].text for cut in join_long(cuts, seed)] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_noise_and_telephone_keep_text_and_length(manifest):
    clean = [to_prompt(cut) for cut in read_manifest(manifest)]
    for kind in ("noise", "telephone"):
        changed = [to_prompt(cut) for cut in read_set(f"{manifest}#{kind}")]
        assert [(p.text, p.keywords, p.duration_s) for p in changed] == [
            (p.text, p.keywords, p.duration_s) for p in clean
        ]
        assert all(not np.allclose(a.audio, b.audio, atol=1e-3) for a, b in zip(changed, clean, strict=True))


def test_silence_has_twenty_clips_and_no_words(manifest):
    prompts = [to_prompt(cut) for cut in read_set(f"{manifest}#silence")]
    assert len(prompts) == 20
    assert all(prompt.text == "" and 2 <= prompt.duration_s <= 10 for prompt in prompts)
    assert sum(not prompt.audio.any() for prompt in prompts) == 5


def test_the_sets_that_ship_are_found_by_name():
    long = read_set("package:data/asterisk_en/dev.jsonl#long")
    assert len(long) == 9
    assert all(cut.supervisions[0].language == "en" for cut in long)


def test_unknown_set_and_too_little_audio_are_refused(manifest):
    with pytest.raises(DataError, match="unknown set #loud"):
        read_set(f"{manifest}#loud")
    with pytest.raises(DataError, match="a long set needs more"):
        next(join_long(read_manifest(manifest).subset(first=2)))


def test_a_seed_of_its_own_makes_other_items_with_other_ids(manifest):
    once, again = read_set(f"{manifest}#long@7"), read_set(f"{manifest}#long@7")
    assert [cut.id for cut in once] == [cut.id for cut in again]
    texts = [
        [cut.supervisions[0].text for cut in cuts] for cuts in (once, again, read_set(f"{manifest}#long@8"))
    ]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0] == [cut.supervisions[0].text for cut in join_long(read_manifest(manifest), seed=7)]
    ids = {cut.id for cut in read_sets([f"{manifest}#long", f"{manifest}#long@7", f"{manifest}#long@8"])}
    assert ids >= {"long-000", "long-000@7", "long-000@8"}
    with pytest.raises(DataError, match="#long@7"):
        read_set(f"{manifest}#long@x")


def test_a_short_item_among_long_ones_gets_company_and_languages_stay_apart(tmp_path):
    rows = []
    for index, (seconds, language) in enumerate([(36, "en"), (36, "en"), (10, "en"), (20, "zh"), (20, "zh")]):
        sf.write(tmp_path / f"{index}.wav", np.full(seconds * 16_000, 0.1, np.float32), 16_000)
        rows.append(
            {"id": f"u{index}", "audio": f"{index}.wav", "text": f"word{index}", "language": language}
        )
    rows.append({"id": "u5", "audio": "2.wav", "text": "word5", "language": "en-GB"})
    rows.append({"id": "u6", "audio": "2.wav", "text": "mot", "language": "fr"})  # too little of it
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for seed in range(4):
        cuts = list(read_set(f"{tmp_path / 'm.jsonl'}#long@{seed}"))
        assert all(15 <= cut.duration <= 40 for cut in cuts)
        for cut in cuts:
            spoken = {name in ("u3", "u4") for name in cut.supervisions[0].custom["made"]["of"]}
            assert spoken == {cut.supervisions[0].language == "zh"}
