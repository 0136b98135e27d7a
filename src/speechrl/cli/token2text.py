"""`speechrl train token2text`: the reward model of DiffRO, from pairs of speech tokens and text."""

from __future__ import annotations

from typing import Annotated

import typer

from speechrl.cli.output import print_json, print_plain


def token2text_command(
    config: Annotated[str, typer.Argument(help="YAML file; package:configs/tts/token2text.yaml ships")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value ..., as in train.steps=10", show_default=False)
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the card as JSON; progress goes to stderr.")
    ] = False,
) -> None:
    """Train a recogniser of speech tokens, DiffRO's reward model, and measure it on held-out pairs."""
    from dataclasses import asdict

    from speechrl.config.load import load_as
    from speechrl.config.token2text import Token2TextRun
    from speechrl.train.token2text import train_token2text

    resolved = load_as(Token2TextRun, config, overrides or [])
    card = train_token2text(resolved, lambda line: typer.echo(line, err=True))
    if json:
        print_json({"model": resolved.output, **asdict(card)})
        return
    print_plain(f"characters wrong   {card.cer:.1%}, with random tokens {card.cer_noisy:.1%}")
    for name, head in card.heads.items():
        print_plain(f"{name:<18} {head.accuracy:.1%} right, the most frequent class {head.majority:.1%}")
    print_plain(f"model              {resolved.output}")
