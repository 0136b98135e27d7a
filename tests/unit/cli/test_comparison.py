"""The table before / after says what `evaluation.json` says."""

from __future__ import annotations

from speechrl.cli.comparison import print_comparison

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


def test_an_interrupted_run_has_no_table(capsys) -> None:
    print_comparison({})
    assert capsys.readouterr().out == ""
