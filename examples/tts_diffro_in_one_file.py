"""DiffRO for a synthesiser in one file, beside GRPO and with sample filtering, to be read from top to bottom.

A synthesiser here is a small language model that continues a text (and a voice) with speech tokens. Token2Text is a
recogniser of such tokens. It serves twice: its transcript of a sample gives a reward, which GRPO learns from; and its
gradient tells every token which other one would have made the text clearer, which is DiffRO (arXiv 2507.05911). The
whole is L = L_GRPO(all samples) + w L_DiffRO(those that beat their group and stopped by themselves), arXiv 2509.18569.
Only the models come from the library; the rest is written out plainly, and a test holds its numbers equal to the
library's. It leaves out speed, safety, reports, and the most important: a judge that was in no reward. What is printed
is Token2Text's own opinion.

    python examples/tts_diffro_in_one_file.py --steps 20

Letters at the end of names are axes: G completions of a group, L tokens, V vocabulary, K codes of speech (the first K
of V), D width, T positions, R the completions that pass the filter.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor, nn

import speechrl
from speechrl.models.tts.synthesiser import Synthesiser, load_synthesiser
from speechrl.models.tts.token2text import Token2Text, load_token2text
from speechrl.types import Context, Prompt

STARTER = Path(speechrl.__file__).parent / "starter"
DATA = Path(__file__).resolve().parents[1] / "data" / "tts_en"

GROUP_SIZE = 8  # completions per sentence
SENTENCES = 6  # per step
TOKENS_PER_CHARACTER = 3  # speech that takes longer is cut: it does not stop by itself
POLICY_WEIGHT = 1.0  # of GRPO; 0 leaves DiffRO alone
DIFFRO_WEIGHT = 1.0  # w
GUMBEL_TEMPERATURE = 1.0
KL_WEIGHT = 0.1
LEARNING_RATE = 1e-4


# --- data and reward ----------------------------------------------------------------------------------------------


def read_prompts(manifest: Path) -> list[Prompt]:
    """One prompt per row `{"id", "text", "audio"}`; audio is the voice to speak with, relative to the manifest."""
    prompts = []
    for row in map(json.loads, manifest.read_text().splitlines()):
        voice, rate = soundfile.read(manifest.parent / row["audio"], dtype="float32")
        prompts.append(Prompt(row["id"], "tts", row["text"], audio=voice, sample_rate_hz=rate))
    return prompts


def letters(text: str) -> str:
    """Lower-case words with single spaces between them, no punctuation."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def reward(reference: str, heard: str) -> float:
    """1 - CER, at least -1, so that one runaway loop does not dwarf its whole group."""
    expected = letters(reference)
    return max(-1.0, 1.0 - Levenshtein.distance(expected, letters(heard)) / len(expected))


# --- the mathematics ----------------------------------------------------------------------------------------------


def advantages(rewards_G: Tensor) -> Tensor:
    """How many standard deviations (ddof 1) each completion is better than its group; equal rewards teach nothing."""
    if rewards_G.max() == rewards_G.min():
        return torch.zeros_like(rewards_G)
    return (rewards_G - rewards_G.mean()) / (rewards_G.std() + 1e-6)


def full_kl(logits_GLV: Tensor, reference_GLV: Tensor) -> Tensor:
    """KL(policy || reference) of every next token, summed over the whole vocabulary."""
    logprobs_GLV = logits_GLV.log_softmax(-1)
    return (logprobs_GLV.exp() * (logprobs_GLV - reference_GLV.log_softmax(-1))).sum(-1)


def gumbel(key: tuple[int, ...], length: int, codes: int) -> Tensor:
    """Noise that makes the largest of logits + noise a draw from their softmax; it hangs on the key alone."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(key))))
    exponential = generator.standard_exponential((length, codes), dtype=np.float32)
    return -torch.from_numpy(np.maximum(exponential, np.finfo(np.float32).tiny)).log()


def straight_through(logits_RLK: Tensor, noise_RLK: Tensor) -> Tensor:
    """One-hot draws from softmax(logits) going forward, a soft choice that has a gradient going backward."""
    soft_RLK = ((logits_RLK + noise_RLK) / GUMBEL_TEMPERATURE).softmax(-1)
    hard_RLK = nn.functional.one_hot(soft_RLK.argmax(-1), soft_RLK.shape[-1]).to(soft_RLK.dtype)
    return hard_RLK + (soft_RLK - soft_RLK.detach())


# --- the language model -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Samples:
    """G completions of one context, padded on the right; mask_GL is 1 up to and with the end token, else 0."""

    context: Context
    text: str
    tokens_GL: Tensor
    mask_GL: Tensor
    stopped_G: Tensor

    def codes(self) -> list[list[int]]:
        """Speech tokens of every completion: all but the end token."""
        lengths = (self.mask_GL.sum(1) - self.stopped_G.float()).int().tolist()
        return [row[:length] for row, length in zip(self.tokens_GL.tolist(), lengths, strict=True)]


def positions(context: Context, length: int, count: int) -> Tensor:
    """Where context and `length` tokens lie: the text is laid out over the time in which it is to be spoken."""
    own_T = (
        context.positions_T if context.positions_T is not None else torch.arange(len(context.embeddings_TD))
    )
    own_T = own_T.float()
    return torch.cat([own_T, own_T[-1] + torch.arange(1, length + 1)]).expand(count, -1)


@torch.no_grad()
def sample(
    model: Synthesiser, prompt: Prompt, context: Context, count: int, generator: torch.Generator
) -> Samples:
    """Draw completions token by token at temperature 1."""
    lm, end = model.language_model.causal_lm, model.language_model.end_token_id
    limit = TOKENS_PER_CHARACTER * len(prompt.text) + 8
    places_GT = positions(context, limit, count)
    read = len(context.embeddings_TD)
    output = lm(
        inputs_embeds=context.embeddings_TD.expand(count, -1, -1),
        position_ids=places_GT[:, :read],
        use_cache=True,
    )
    alive_G = torch.ones(count, dtype=torch.bool)
    tokens, mask = [], []
    while alive_G.any() and len(tokens) < limit:
        token_G1 = output.logits[:, -1].softmax(-1).multinomial(1, generator=generator)
        tokens.append(token_G1[:, 0])
        mask.append(alive_G.float())
        alive_G = alive_G & (token_G1[:, 0] != end)
        output = lm(
            input_ids=token_G1,
            position_ids=places_GT[:, read : read + 1],
            past_key_values=output.past_key_values,
            use_cache=True,
        )
        read += 1
    return Samples(context, prompt.text, torch.stack(tokens, 1), torch.stack(mask, 1), ~alive_G)


def completion_logits(lm: nn.Module, samples: Samples) -> Tensor:
    """What the model predicts at every sampled token, in one pass over context and completion; shape (G, L, V)."""
    count, length = samples.tokens_GL.shape
    context_GTD = samples.context.embeddings_TD.expand(count, -1, -1)
    inputs = torch.cat([context_GTD, lm.get_input_embeddings()(samples.tokens_GL)], dim=1)
    places = positions(samples.context, length, count)
    # Position t predicts token t + 1, so the completion is predicted from the context's last position on.
    return lm(inputs_embeds=inputs, position_ids=places).logits[:, -length - 1 : -1]


# --- the two losses -----------------------------------------------------------------------------------------------


def passes(samples: Samples, advantages_G: Tensor) -> Tensor:
    """The filter: a gradient through Token2Text does harm to samples that loop, and says little on bad ones."""
    return (advantages_G > 0) & samples.stopped_G & (samples.mask_GL.sum(1) > 1)


def policy_loss(logits_GLV: Tensor, samples: Samples, advantages_G: Tensor) -> Tensor:
    """GRPO, summed over tokens. One update per batch: the ratio is 1, so that there is nothing to clip."""
    logprobs_GL = logits_GLV.log_softmax(-1).gather(-1, samples.tokens_GL[..., None])[..., 0]
    ratio_GL = (logprobs_GL - logprobs_GL.detach()).exp()
    return -(advantages_G[:, None] * ratio_GL * samples.mask_GL).sum()


def diffro_loss(
    logits_GLV: Tensor, samples: Samples, keep_G: Tensor, token2text: Token2Text, keys: list[tuple[int, ...]]
) -> Tensor:
    """-log P(text | freshly drawn tokens), summed over the completions that pass the filter."""
    rows = keep_G.nonzero()[:, 0].tolist()
    embedding_KD = token2text.embedding.weight
    lengths_R = samples.mask_GL[rows].sum(1).long() - 1  # the end token is no code: Token2Text cannot read it
    logits_RLK = logits_GLV[rows, : int(lengths_R.max()), : len(embedding_KD)]
    noise_RLK = torch.zeros_like(logits_RLK)
    for r, (row, length) in enumerate(zip(rows, lengths_R.tolist(), strict=True)):
        noise_RLK[r, :length] = gumbel(keys[row], length, len(embedding_KD))
    embedded_RLD = straight_through(logits_RLK, noise_RLK) @ embedding_KD  # in place of the look-up
    nll_R = token2text.text_nll(embedded_RLD, lengths_R, [samples.text] * len(rows))
    return nll_R[nll_R.isfinite()].sum()  # too short for its text is infinitely unlikely, whatever the tokens


# --- training -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Report:
    """What a step did: mean reward, share of completions that pass the filter, loss, KL per token."""

    reward: float
    passed: float
    loss: float
    kl: float


def step(
    model: Synthesiser,
    reference_lm: nn.Module,
    token2text: Token2Text,
    optimiser: torch.optim.Optimizer,
    prompts: list[Prompt],
    generator: torch.Generator,
    noise_key: tuple[int, int],
) -> Report:
    """One on-policy update: sample, listen, compare, learn. The noise of DiffRO hangs on (seed, step)."""
    lm = model.language_model.causal_lm
    contexts = model.encode(prompts)
    groups = [
        sample(model, prompt, context, GROUP_SIZE, generator)
        for prompt, context in zip(prompts, contexts, strict=True)
    ]
    rewards_PG = torch.tensor(
        [
            [reward(samples.text, heard) for heard in token2text.transcribe(samples.codes())]
            for samples in groups
        ]
    )
    credit = [advantages(rewards_G) for rewards_G in rewards_PG]
    kept = [passes(samples, advantages_G) for samples, advantages_G in zip(groups, credit, strict=True)]

    # Each loss is a mean over its own tokens, those of the whole batch, whatever group they are in.
    tokens = sum(float(samples.mask_GL.sum()) for samples in groups)
    kept_tokens = sum(float(s.mask_GL[keep_G].sum()) for s, keep_G in zip(groups, kept, strict=True))
    total = kl = 0.0
    optimiser.zero_grad()
    for p, (samples, advantages_G, keep_G) in enumerate(zip(groups, credit, kept, strict=True)):
        logits_GLV = completion_logits(lm, samples)  # one pass for both
        with torch.no_grad():
            reference_GLV = completion_logits(reference_lm, samples)
        kl_GL = full_kl(logits_GLV, reference_GLV) * samples.mask_GL
        policy = policy_loss(logits_GLV, samples, advantages_G) + KL_WEIGHT * kl_GL.sum()
        loss = POLICY_WEIGHT * policy / tokens
        if keep_G.any():
            keys = [(*noise_key, 0, p * GROUP_SIZE + g) for g in range(GROUP_SIZE)]
            relaxed = diffro_loss(logits_GLV, samples, keep_G, token2text, keys)
            loss = loss + DIFFRO_WEIGHT * (relaxed + KL_WEIGHT * kl_GL[keep_G].sum()) / kept_tokens
        loss.backward()
        total += loss.item()
        kl += kl_GL.sum().item() / tokens
    nn.utils.clip_grad_norm_(lm.parameters(), max_norm=1.0)
    optimiser.step()
    return Report(rewards_PG.mean().item(), torch.stack(kept).float().mean().item(), total, kl)


def evaluate(model: Synthesiser, token2text: Token2Text, prompts: list[Prompt]) -> float:
    """CER that Token2Text hears in one sample of every prompt: all errors over all letters, not a mean of rates."""
    generator = torch.Generator().manual_seed(0)
    errors = total = 0
    for prompt, context in zip(prompts, model.encode(prompts), strict=True):
        spoken = sample(model, prompt, context, 1, generator)
        errors += Levenshtein.distance(
            letters(prompt.text), letters(token2text.transcribe(spoken.codes())[0])
        )
        total += len(letters(prompt.text))
    return errors / total


def main() -> None:
    """Evaluate, train, evaluate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=STARTER / "tts")
    parser.add_argument("--token2text", type=Path, default=STARTER / "token2text")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    model, token2text = load_synthesiser(arguments.model), load_token2text(arguments.token2text)
    lm = model.language_model.causal_lm.eval()  # no dropout: samples and loss must see the same policy
    reference_lm = copy.deepcopy(lm).requires_grad_(False)
    optimiser = torch.optim.AdamW(lm.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    train, held_out = (read_prompts(arguments.data / f"{name}.jsonl") for name in ("train", "dev"))
    held_out = held_out[:40]
    shuffle, generator = random.Random(arguments.seed), torch.Generator().manual_seed(arguments.seed)

    before = evaluate(model, token2text, held_out)
    for number in range(1, arguments.steps + 1):
        prompts, key = shuffle.sample(train, SENTENCES), (arguments.seed, number)
        report = step(model, reference_lm, token2text, optimiser, prompts, generator, key)
        print(
            f"step {number:3d}  reward {report.reward:+.3f}  pass {report.passed:4.0%}  loss {report.loss:+.4f}  "
            f"kl {report.kl:.4f}"
        )
    after = evaluate(model, token2text, held_out)
    print(f"held-out CER that Token2Text hears {before:.1%} -> {after:.1%}")


if __name__ == "__main__":
    main()
