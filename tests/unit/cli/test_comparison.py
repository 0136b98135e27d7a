"""The table before / after says what `evaluation.json` says."""

from __future__ import annotations

from speechrl.cli.comparison import print_comparison, print_sets

BEFORE = {"wer": 0.25, "wer_low": 0.2, "wer_high": 0.3, "words": 100, "insertions": 12}
AFTER = {"wer": 0.2, "wer_low": 0.16, "wer_high": 0.24, "words": 100, "insertions": 4}


def test_rates_intervals_change_and_p(capsys) -> None:
    paired = {"human": {"relative_change": -0.2, "low": -0.31, "high": -0.09, "p": 0.001}}
    print_comparison({"before": {"human": BEFORE}, "after": {"human": AFTER}, "paired": paired})
    out = capsys.readouterr().out
    assert "25.0% [20.0%, 30.0%]" in out
    assert "20.0% [16.0%, 24.0%]" in out
    assert "-20.0% [-31.0%, -9.0%]" in out
    assert "0.0010" in out
    insertions = next(line for line in out.splitlines() if "insertions" in line)
    assert insertions.split() == ["insertions", "12", "4"]


def test_a_set_without_words_has_no_error_rate(capsys) -> None:
    silence = {"wer": None, "words": 0, "non_empty_rate": 0.5, "insertions": 3}
    paired = {"silence": {"relative_change": -0.75, "low": -1.0, "high": -0.5, "p": 0.02}}
    print_comparison({"before": {}, "after": {"silence": silence}, "paired": paired})
    says, insertions = (line.split() for line in capsys.readouterr().out.splitlines()[1:])
    assert says == ["silence", "says", "something", "-", "50.0%"]
    assert insertions == ["insertions", "-", "3", "-75.0%", "[-100.0%,", "-50.0%]", "0.0200"]


def judged(wer: float, **more: object) -> dict[str, object]:
    rates = {"wer": wer, "wer_low": wer - 0.02, "wer_high": wer + 0.02, "cer": 0.1}
    return {
        "judge_wer": wer,
        "judges": {"whisper-tiny.en": rates, "moonshine-tiny": rates},
        "utterances": 400,
        "similarity": 0.8512,
        "similarity_low": 0.845,
        "similarity_high": 0.857,
        "quality": 3.7,
        "no_stop_rate": 0.01,
        "log_f0_std": None,
        **more,
    }


def test_a_synthesiser_shows_its_judges_and_what_else_changed(capsys) -> None:
    change = {"relative_change": -0.2, "low": -0.31, "high": -0.09, "p": 0.001}
    paired = {
        "judges": {"whisper-tiny.en": change},
        "differences": {"similarity": {"difference": -0.004, "low": -0.007, "high": -0.001, "p": 0.03}},
        "length_ratio": {"ratio": 1.021, "low": 1.01, "high": 1.03, "p": 0.002},
    }
    evaluation = {
        "before": {"test": judged(0.25)},
        "after": {"test": judged(0.2)},
        "paired": {"test": paired},
    }
    print_comparison(evaluation)
    lines = {" ".join(line.split()[:1]): line for line in capsys.readouterr().out.splitlines()}
    assert lines["test"].split("  ")[0] == "test"
    for part in ("WER, whisper-tiny.en", "25.0% [23.0%, 27.0%]", "-20.0% [-31.0%, -9.0%]", "0.0010"):
        assert part in lines["test"]
    assert "0.851 [0.845, 0.857]" in lines["similarity"]
    assert "-0.004 [-0.007, -0.001]" in lines["similarity"]
    assert not {"log-F0", "DNSMOS"} & lines.keys()  # nobody measured them
    assert "x 1.021 [1.010, 1.030]" in lines["length"]


def test_sets_of_both_tasks_have_their_own_columns(capsys) -> None:
    numbers = {"utterances": 10, "wer": 0.2, "substitutions": 1, "deletions": 2, "insertions": 3}
    print_sets({"human": numbers})
    assert "hallucinated" in capsys.readouterr().out
    print_sets({"test": judged(0.25)})
    head, row = capsys.readouterr().out.splitlines()
    assert "WER, moonshine-tiny" in head
    assert "hallucinated" not in head
    assert row.split()[:2] == ["test", "400"]


def test_silence_is_shown_where_there_is_any(capsys) -> None:
    heard, mute = judged(0.2, silent_rate=0.0), judged(0.2, silent_rate=0.25)
    for before, after, shown in ((heard, heard, False), (heard, mute, True), (mute, heard, True)):
        print_comparison({"before": {"test": before}, "after": {"test": after}})
        assert ("silent" in capsys.readouterr().out) is shown
        print_sets({"one": before, "two": after})
        assert ("silent" in capsys.readouterr().out) is shown


def test_an_interrupted_run_has_no_table(capsys) -> None:
    print_comparison({})
    assert capsys.readouterr().out == ""
