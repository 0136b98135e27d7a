"""GRPO for a speech recogniser in one file, to be read from top to bottom.

A recogniser here is a frozen audio encoder and a small language model that continues the encoder's output with
text. Each step: sample several transcripts per utterance, score them with 1 - WER, compare each with its siblings,
and make the better ones likelier. Only loading the model comes from the library; the rest is written out plainly, and
a test holds its numbers equal to the library's. It leaves out speed (shared prefills), safety (guards, checkpoints)
and reports.

    python examples/asr_grpo_in_one_file.py --steps 30

Letters at the end of names are axes: G completions of a group, L tokens, T positions, D width, V vocabulary.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch
from torch import Tensor, nn

import speechrl
from speechrl.models.asr.recogniser import Recogniser, load_recogniser
from speechrl.types import Prompt

STARTER = Path(speechrl.__file__).parent / "starter" / "asr"
DATA = Path(__file__).resolve().parents[1] / "data" / "asterisk_en"

GROUP_SIZE = 8  # completions per utterance
UTTERANCES = 8  # utterances per step
MAX_TOKENS = 64  # of a completion; a transcript that loops is cut here
CLIP_LOW = CLIP_HIGH = 0.2
KL_WEIGHT = 0.05
LEARNING_RATE = 1e-4


# --- data ---------------------------------------------------------------------------------------------------------


def read_prompts(manifest: Path) -> list[Prompt]:
    """One prompt per row `{"id", "audio", "text", "start", "duration"}`; audio paths are relative to the manifest."""
    prompts = []
    for row in map(json.loads, manifest.read_text().splitlines()):
        path = manifest.parent / row["audio"]
        rate = soundfile.info(path).samplerate
        first, length = round(row["start"] * rate), round(row["duration"] * rate)
        audio, _ = soundfile.read(path, start=first, frames=length, dtype="float32")
        prompts.append(Prompt(row["id"], "asr", row["text"], audio=audio, sample_rate_hz=rate))
    return prompts


# --- reward -------------------------------------------------------------------------------------------------------


def words(text: str) -> list[str]:
    """Lower-case words without punctuation: enough for this English data."""
    return re.findall(r"[a-z0-9']+", text.lower())


def word_errors(reference: list[str], hypothesis: list[str]) -> int:
    """Fewest substitutions, deletions and insertions that turn one into the other, row by row of the usual table."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, start=1):
        above, row = row, [i]
        for j, heard in enumerate(hypothesis, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (expected != heard)))
    return row[-1]


def reward(reference: str, hypothesis: str) -> float:
    """1 - WER, at least -1, so that one runaway loop does not dwarf its whole group."""
    expected = words(reference)
    return max(-1.0, 1.0 - word_errors(expected, words(hypothesis)) / max(1, len(expected)))


# --- the mathematics ----------------------------------------------------------------------------------------------


def advantages(rewards_G: Tensor) -> Tensor:
    """How many standard deviations (ddof 1) each completion is better than its group; equal rewards teach nothing."""
    if rewards_G.max() == rewards_G.min():
        return torch.zeros_like(rewards_G)
    return (rewards_G - rewards_G.mean()) / (rewards_G.std() + 1e-6)


def clipped_loss(logprobs_GL: Tensor, behaviour_GL: Tensor, advantages_G: Tensor) -> Tensor:
    """PPO's surrogate per token: raise the probability of good tokens, but not by more than the clip in one batch."""
    ratio_GL = (logprobs_GL - behaviour_GL).exp()
    bounded_GL = ratio_GL.clamp(1 - CLIP_LOW, 1 + CLIP_HIGH)
    return -torch.minimum(ratio_GL * advantages_G[:, None], bounded_GL * advantages_G[:, None])


def k3(logprobs_GL: Tensor, reference_GL: Tensor) -> Tensor:
    """Schulman's estimate of KL(policy || reference) per token: never negative, and right on average."""
    difference_GL = reference_GL - logprobs_GL
    return difference_GL.exp() - 1 - difference_GL


# --- the language model -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Samples:
    """G completions of one context, padded on the right; mask_GL is 1 up to and with the end token, else 0."""

    context_TD: Tensor
    tokens_GL: Tensor
    behaviour_GL: Tensor
    mask_GL: Tensor


@torch.no_grad()
def sample(
    lm: nn.Module, context_TD: Tensor, end: int, count: int, generator: torch.Generator | None
) -> Samples:
    """Draw completions token by token at temperature 1; without a generator, take the likeliest token."""
    output = lm(inputs_embeds=context_TD.expand(count, -1, -1), use_cache=True)
    alive_G = torch.ones(count, dtype=torch.bool)
    tokens, behaviour, mask = [], [], []
    while alive_G.any() and len(tokens) < MAX_TOKENS:
        logprobs_GV = output.logits[:, -1].log_softmax(-1)
        if generator is None:
            token_G1 = logprobs_GV.argmax(-1, keepdim=True)
        else:
            token_G1 = logprobs_GV.exp().multinomial(1, generator=generator)
        tokens.append(token_G1[:, 0])
        behaviour.append(logprobs_GV.gather(1, token_G1)[:, 0])
        mask.append(alive_G.float())
        alive_G = alive_G & (token_G1[:, 0] != end)
        output = lm(input_ids=token_G1, past_key_values=output.past_key_values, use_cache=True)
    return Samples(context_TD, torch.stack(tokens, 1), torch.stack(behaviour, 1), torch.stack(mask, 1))


def completion_logprobs(lm: nn.Module, samples: Samples) -> Tensor:
    """Log-probability of every sampled token, in one pass over context and completion; shape (G, L)."""
    count, length = samples.tokens_GL.shape
    context_GTD = samples.context_TD.expand(count, -1, -1)
    inputs = torch.cat([context_GTD, lm.get_input_embeddings()(samples.tokens_GL)], dim=1)
    # Position t predicts token t + 1, so the completion is predicted from the context's last position on.
    logits_GLV = lm(inputs_embeds=inputs).logits[:, -length - 1 : -1]
    return logits_GLV.log_softmax(-1).gather(-1, samples.tokens_GL[..., None])[..., 0]


def loss_sum(
    lm: nn.Module, reference_lm: nn.Module, samples: Samples, advantages_G: Tensor
) -> tuple[Tensor, float]:
    """Loss and KL of one group, both summed over its tokens: the caller divides by the tokens of the whole batch."""
    logprobs_GL = completion_logprobs(lm, samples)
    with torch.no_grad():
        reference_GL = completion_logprobs(reference_lm, samples)
    kl_GL = k3(logprobs_GL, reference_GL)
    loss_GL = clipped_loss(logprobs_GL, samples.behaviour_GL, advantages_G) + KL_WEIGHT * kl_GL
    return (loss_GL * samples.mask_GL).sum(), (kl_GL * samples.mask_GL).sum().item()


# --- training -----------------------------------------------------------------------------------------------------


def transcripts(recogniser: Recogniser, samples: Samples) -> list[str]:
    """The text of every completion."""
    rows = zip(samples.tokens_GL, samples.mask_GL, strict=True)
    return [
        recogniser.tokenizer.decode(tokens[mask > 0].tolist(), skip_special_tokens=True)
        for tokens, mask in rows
    ]


def evaluate(recogniser: Recogniser, prompts: list[Prompt]) -> float:
    """Corpus WER of greedy transcripts: all errors over all words, not a mean of rates."""
    errors = total = 0
    model = recogniser.language_model
    for prompt, context in zip(prompts, recogniser.encode(prompts), strict=True):
        greedy = sample(model.causal_lm, context.embeddings_TD, model.end_token_id, 1, generator=None)
        expected = words(prompt.text)
        errors += word_errors(expected, words(transcripts(recogniser, greedy)[0]))
        total += len(expected)
    return errors / total


@dataclass(frozen=True)
class Report:
    """What a step did: mean reward, share of groups with equal rewards, loss and KL per token."""

    reward: float
    zero_spread_share: float
    loss: float
    kl: float


def step(
    recogniser: Recogniser,
    reference_lm: nn.Module,
    optimiser: torch.optim.Optimizer,
    prompts: list[Prompt],
    generator: torch.Generator,
) -> Report:
    """One on-policy update: sample, score, compare, learn."""
    lm, end = recogniser.language_model.causal_lm, recogniser.language_model.end_token_id
    contexts = recogniser.encode(prompts)
    groups = [sample(lm, context.embeddings_TD, end, GROUP_SIZE, generator) for context in contexts]
    rewards_PG = torch.tensor(
        [
            [reward(prompt.text, text) for text in transcripts(recogniser, samples)]
            for prompt, samples in zip(prompts, groups, strict=True)
        ]
    )
    credit_PG = torch.stack([advantages(rewards_G) for rewards_G in rewards_PG])

    # Every token of the batch weighs the same, so the division is by all of them, whatever group they are in.
    tokens = sum(samples.mask_GL.sum() for samples in groups)
    loss = kl = 0.0
    optimiser.zero_grad()
    for samples, advantages_G in zip(groups, credit_PG, strict=True):
        group_loss, group_kl = loss_sum(lm, reference_lm, samples, advantages_G)
        (group_loss / tokens).backward()
        loss += group_loss.item() / float(tokens)
        kl += group_kl / float(tokens)
    nn.utils.clip_grad_norm_(lm.parameters(), max_norm=1.0)
    optimiser.step()
    zero_spread = (credit_PG == 0).all(dim=1).float().mean().item()
    return Report(rewards_PG.mean().item(), zero_spread, loss, kl)


def main() -> None:
    """Evaluate, train, evaluate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=STARTER)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    recogniser = load_recogniser(arguments.model)
    lm = recogniser.language_model.causal_lm.eval()  # no dropout: rollouts and loss must see the same policy
    reference_lm = copy.deepcopy(lm).requires_grad_(False)
    optimiser = torch.optim.AdamW(lm.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    train, held_out = (read_prompts(arguments.data / f"{name}.jsonl") for name in ("train", "dev"))
    shuffle, generator = random.Random(arguments.seed), torch.Generator().manual_seed(arguments.seed)

    before = evaluate(recogniser, held_out)
    for number in range(1, arguments.steps + 1):
        report = step(recogniser, reference_lm, optimiser, shuffle.sample(train, UTTERANCES), generator)
        print(
            f"step {number:3d}  reward {report.reward:+.3f}  equal groups {report.zero_spread_share:4.0%}  "
            f"loss {report.loss:+.4f}  kl {report.kl:.4f}"
        )
    print(f"held-out WER {before:.1%} -> {evaluate(recogniser, held_out):.1%}")


if __name__ == "__main__":
    main()
