"""Which figures the page draws, and of which metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from speechrl.report.charts import Chart, Panel, line_chart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Rows = Sequence[Mapping[str, Any]]

PANELS = (
    Panel("Error rate of rollouts", "corpus rate of what was sampled", {"wer": "error rate"}, percent=True),
    Panel(
        "Token2Text on rollouts",
        "character error rate of what it reads in the speech tokens; an opinion, not a judge",
        {"token_cer": "error rate"},
        percent=True,
    ),
    Panel(
        "DiffRO",
        "what Token2Text makes of tokens drawn from the policy, nats per character of the text",
        {"diffro_nll": "negative log-likelihood"},
    ),
    Panel("KL to the reference", "nats per token", {"kl": "KL"}),
    Panel("Entropy of the policy", "nats per token", {"entropy": "entropy"}),
    Panel("Length", "tokens per rollout", {"length": "length"}),
    Panel("Speaking time", "speech tokens per character of the text", {"tokens_per_char": "tokens"}),
    Panel("Liveliness", "spread of log F0 of rollouts", {"log_f0_std": "spread"}),
    Panel("Quality", "mean opinion scores of rollouts", {"distillmos": "DistillMOS", "dnsmos": "DNSMOS"}),
    Panel(
        "Shares",
        "of groups without spread; of rollouts cut by length, hallucinated, or passed on to DiffRO",
        {
            "zero_spread_share": "zero spread",
            "length_cut_share": "cut by length",
            "hallucination": "hallucination",
            "samples/diffro": "learned from by DiffRO",
        },
        percent=True,
    ),
    Panel("Gradient norm", "before clipping", {"grad_norm": "gradient norm"}),
    Panel("Loss", "its value means little in RL; its jumps do", {"loss": "loss"}),
    Panel(
        "Rollout against policy",
        "mean |log-probability difference| of the same tokens",
        {"logprob_gap": "gap"},
    ),
)
"""Figures of what every step measures; one without any of its metrics is not drawn."""

HELD_OUT = (
    Panel("Held-out error rate", "before, between and after the steps", {"wer": ""}, percent=True),
    Panel(
        "Held-out error rate by the judge",
        "before, between and after the steps",
        {"judge_wer": ""},
        percent=True,
    ),
    Panel("Held-out similarity", "to the reference voice", {"similarity": ""}),
    Panel("Held-out quality", "DistillMOS, 1 to 5", {"quality": ""}),
    Panel("Held-out speaking time", "speech tokens per character of the text", {"tokens_per_char": ""}),
    Panel("Held-out missing stops", "did not end by themselves", {"no_stop_rate": ""}, percent=True),
    Panel("Held-out liveliness", "spread of log F0 over voiced frames", {"log_f0_std": ""}),
    Panel("Held-out speaking rate", "characters a second of sound, pauses left out", {"speaking_rate": ""}),
)
"""Figures of what evaluations measure: a line per set."""

EARS = {"token_cer": "Token2Text", "cer": "recogniser in the reward"}
JUDGE = "judge_cer"
GAP = (
    "Reward against judge",
    "character error rate of rollouts, heard by what is trained on, and of held-out sentences, heard by the judge: "
    "lines that part are reward hacking",
)


def draw(rows: Rows, evaluation: Mapping[str, Any] | None = None) -> list[Chart]:
    """Every figure that the rows of `metrics.jsonl` have something for.

    Args:
        rows: Of the steps.
        evaluation: The content of `evaluation.json`: held-out curves begin at step 0 and end at the last one with it.
    """
    reward = line_chart(rows, _reward_panel(rows))
    evaluated = _with_ends(rows, evaluation or {})
    held_out = [_held_out(evaluated, panel) for panel in HELD_OUT]
    steps = [line_chart(rows, panel) for panel in PANELS]
    return [chart for chart in (reward, *held_out, _gap(evaluated), *steps) if chart]


def _with_ends(rows: Rows, evaluation: Mapping[str, Any]) -> Rows:
    """The rows with the evaluations before and after the steps among them."""
    if not rows:
        return rows
    before, after = (_numbers(evaluation.get(moment) or {}) for moment in ("before", "after"))
    ended = [*rows[:-1], {**rows[-1], **after}]
    if not before:
        return ended
    # What the first step sampled is the model's before any update.
    ears = {name: rows[0].get(name) for name in EARS} if rows[0]["step"] == 1 else {}
    return [{"step": 0, **ears, **before}, *ended]


def _numbers(sets: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """`evaluation/SET/NUMBER`, as the rows of steps have them."""
    return {
        f"evaluation/{name}/{key}": value
        for name, numbers in sets.items()
        for key, value in numbers.items()
        if isinstance(value, int | float)
    }


def _reward_panel(rows: Rows) -> Panel:
    """The total and every term that the run has; a single term of weight 1 would only be drawn over the total."""
    terms = dict.fromkeys(name for row in rows for name in row if name.startswith("reward/"))
    shown = (
        {}
        if len(terms) == 1 and all(row.get("reward") == row.get(next(iter(terms))) for row in rows)
        else terms
    )
    names = {"reward": "total"} | {name: name.removeprefix("reward/") for name in shown}
    return Panel("Reward", "mean over rollouts, terms unweighted", names)


def _held_out(rows: Rows, panel: Panel) -> Chart | None:
    """A line per set, over the steps that evaluated: the others have nothing to draw."""
    (measure,) = panel.metrics
    names = _of_sets(rows, measure)
    evaluated = [row for row in rows if any(row.get(name) is not None for name in names)]
    return line_chart(evaluated, Panel(panel.title, panel.note, names, panel.percent)) if names else None


def _gap(rows: Rows) -> Chart | None:
    """What the reward hears beside what the judge hears, who was in no reward, at the steps that evaluated."""
    judges = {name: f"judge, {label}" for name, label in _of_sets(rows, JUDGE).items()}
    evaluated = [
        row
        for row in rows
        if any(row.get(name) is not None for name in EARS)
        and any(row.get(name) is not None for name in judges)
    ]
    return line_chart(evaluated, Panel(*GAP, {**EARS, **judges}, percent=True)) if evaluated else None


def _of_sets(rows: Rows, measure: str) -> dict[str, str]:
    """`evaluation/SET/MEASURE` -> SET."""
    names = (name for row in rows for name in row if name.startswith("evaluation/"))
    return {name: name.split("/")[1] for name in names if name.split("/")[2] == measure}
