"""The policy: any decoder-only transformers model, used in two moves on prompt embeddings.

`prefill` reads each context once; `extend` continues it with any number of completions that share the prefill. Contexts
are padded on the left, so that the distance between two slots of the cache is the distance between their positions
(sliding windows stay right), and completions are padded on the right, where causality hides the padding.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import DynamicCache

from speechrl.errors import ModelError
from speechrl.models.decode_attention import NAME as DECODE_ATTENTION
from speechrl.models.kv_cache import select_rows
from speechrl.models.token_logprobs import token_logprobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedModel
    from transformers.cache_utils import Cache

    from speechrl.types import Context


@dataclass(frozen=True, slots=True)
class Prefix:
    """What has been read so far, for B rows.

    Attributes:
        cache: Keys and values, in the dtype of the forward pass; part of the autograd graph when that was recorded.
        mask_BT: True on slots of the cache that hold a position, False on the padding at the left.
        next_position_B: Position of the next token; int64, or float32 where a context brings positions of its own.
        logits_BV: Prediction of the next token.
        shares: Whether the model attends by `decode_attention`, so that rows may share what they have in common.
    """

    cache: Cache
    mask_BT: Tensor
    next_position_B: Tensor
    logits_BV: Tensor
    shares: bool = False

    def select(self, rows_N: Tensor, *, in_place_growth: bool = False) -> Prefix:
        """The named rows, any number of times each; this prefix stays as it is.

        Args:
            rows_N: Row indices, shape (N,), int64, on the device of the prefix.
            in_place_growth: For decoding without gradients: appending then does not copy what is held.
        """
        return Prefix(
            cache=select_rows(self.cache, rows_N, in_place_growth=in_place_growth, share=self.shares),
            mask_BT=self.mask_BT[rows_N],
            next_position_B=self.next_position_B[rows_N],
            logits_BV=self.logits_BV[rows_N],
            shares=self.shares,
        )


@dataclass(frozen=True, slots=True)
class CompletionScores:
    """N completions, context by context, under the model; padded on the right to L tokens.

    Attributes:
        logprobs_NL: log p(token | context, tokens before it) at temperature 1, nats, float32; 0 on padding.
        mask_NL: 1.0 where a token exists, 0.0 on padding, float32.
        logits_NLV: The predictions themselves in the dtype of the forward pass, if they were asked for.
        entropy_NL: Entropy of each prediction, nats, float32, detached; 0 on padding.
    """

    logprobs_NL: Tensor
    mask_NL: Tensor
    logits_NLV: Tensor | None
    entropy_NL: Tensor


class LanguageModel(nn.Module):
    """A causal language model that continues prompt embeddings.

    Args:
        causal_lm: Any decoder-only `...ForCausalLM` of transformers, or one that peft has wrapped.
        end_token_id: The token that ends a completion.

    Attributes:
        causal_lm: As given.
        end_token_id: As given.
        width: Width D of its embeddings.
    """

    def __init__(self, causal_lm: PreTrainedModel, end_token_id: int) -> None:
        super().__init__()
        self.causal_lm = causal_lm
        self.end_token_id = end_token_id
        vocabulary, self.width = self._embedding.weight.shape
        if not 0 <= end_token_id < vocabulary:
            raise ModelError(
                f"end_token_id {end_token_id} is outside of the model's vocabulary of {vocabulary} tokens"
            )
        # peft's wrapper hides the signature of the model inside it.
        unwrap = getattr(causal_lm, "get_base_model", lambda: causal_lm)
        accepted = inspect.signature(unwrap().forward).parameters
        self._takes_positions = "position_ids" in accepted
        self._takes_logits_to_keep = "logits_to_keep" in accepted
        self._position_table = _position_table(causal_lm, self._embedding)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self._embedding.weight.device
        return device

    @property
    def _embedding(self) -> nn.Embedding:
        embedding: nn.Embedding = self.causal_lm.get_input_embeddings()  # type: ignore[assignment]
        return embedding

    def embed(self, token_ids: Tensor) -> Tensor:
        """Embeddings of token ids, as the model itself would embed them: shape (..., ) -> (..., D)."""
        embeddings: Tensor = self._embedding(token_ids.to(self.device))
        return embeddings

    def prefill(self, contexts: Sequence[Tensor | Context]) -> Prefix:
        """Read each context once.

        Args:
            contexts: B >= 1 prompt embeddings of shape (T_i, D) with T_i >= 1, on any device, of any floating dtype;
                they are brought to the device and dtype of the weights, and gradients flow back to them. A record
                may bring positions of its own.

        Raises:
            ModelError: A context is empty or of another width, or brings positions to a model that takes none; or the
                model gives no cache back.
        """
        placed = [None if isinstance(context, torch.Tensor) else context.positions_T for context in contexts]
        read = [
            context if isinstance(context, torch.Tensor) else context.embeddings_TD for context in contexts
        ]
        for index, context in enumerate(read):
            if context.ndim != 2 or context.shape[0] == 0 or context.shape[1] != self.width:
                raise ModelError(
                    f"context {index} has shape {tuple(context.shape)}: expected (positions >= 1, {self.width})"
                )
        weight = self._embedding.weight
        lengths_B = torch.tensor([len(context) for context in read], device=weight.device)
        longest = int(max(len(context) for context in read))
        embeddings_BTD = torch.stack(
            [
                nn.functional.pad(context.to(weight.device, weight.dtype), (0, 0, longest - len(context), 0))
                for context in read
            ]
        )
        slots_T = torch.arange(longest, device=weight.device)
        padding_B1 = longest - lengths_B[:, None]
        mask_BT = slots_T >= padding_B1
        positions_BT, next_position_B = (slots_T - padding_B1).clamp_min(0), lengths_B
        if any(own is not None for own in placed):
            positions_BT = self._own_positions(positions_BT, lengths_B.tolist(), placed)
            next_position_B = positions_BT[:, -1] + 1
        cache = DynamicCache(config=self.causal_lm.config)
        logits_B1V = self._forward(cache, mask_BT, positions_BT, only_last=True, inputs_embeds=embeddings_BTD)
        if _filled(cache) != longest:
            raise ModelError(
                "the language model filled no cache during prefill: switch its activation checkpointing off "
                "(`causal_lm.activation_checkpointing_disable()`)"
            )
        shares = self.causal_lm.config._attn_implementation == DECODE_ATTENTION
        return Prefix(cache, mask_BT, next_position_B, logits_B1V[:, -1], shares)

    def append(self, prefix: Prefix, tokens_B: Tensor) -> Prefix:
        """Read one more token in every row: the step of a decoder. It uses `prefix` up, whose cache grows in place.

        Args:
            prefix: From `prefill(...).select(..., in_place_growth=True)` or the last `append`.
            tokens_B: One token id per row, shape (B,).
        """
        mask_BT = nn.functional.pad(prefix.mask_BT, (0, 1), value=True)
        logits_B1V = self._forward(
            prefix.cache, mask_BT, prefix.next_position_B[:, None], input_ids=tokens_B[:, None]
        )
        return replace(
            prefix,
            mask_BT=mask_BT,
            next_position_B=prefix.next_position_B + 1,
            logits_BV=logits_B1V[:, -1],
        )

    def extend(self, prefix: Prefix, completions: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        """Continue each context with its completions, all from the one prefill, which stays usable.

        Args:
            prefix: B contexts.
            completions: B lists of completions, any number each, of any lengths; N in all, the longest of L tokens.

        Returns:
            Logits of shape (N, L, V): [n, t] predicts token t of completion n; what lies past its end means nothing.
        """
        tokens_NL, rows_N = self._flatten(prefix, completions)
        first_N1V = prefix.logits_BV[rows_N, None]
        later_NKV = self._extend_later(prefix, tokens_NL, rows_N)
        return first_N1V if later_NKV is None else torch.cat([first_N1V, later_NKV], dim=1)

    def score(
        self,
        contexts: Sequence[Tensor | Context],
        completions: Sequence[Sequence[Sequence[int]]],
        *,
        keep_logits: bool = False,
    ) -> CompletionScores:
        """Log-probabilities of completions: one prefill per context, shared by its completions.

        Equal, in value and gradient, to repeating the context for every completion.

        Args:
            contexts: See `prefill`.
            completions: See `extend`; there must be at least one.
            keep_logits: Also return the logits, which costs one copy of them.

        Raises:
            ModelError: See `prefill`; or the two arguments differ in length, or there is no completion.
        """
        prefix = self.prefill(contexts)
        tokens_NL, rows_N = self._flatten(prefix, completions)
        lengths_N = torch.tensor(
            [len(tokens) for group in completions for tokens in group], device=self.device
        )
        mask_NL = (torch.arange(tokens_NL.shape[1], device=self.device) < lengths_N[:, None]).float()
        first_NV = prefix.logits_BV[rows_N]
        later_NKV = self._extend_later(prefix, tokens_NL, rows_N)
        parts = [token_logprobs(first_NV[:, None], tokens_NL[:, :1])]
        if later_NKV is not None:
            parts.append(token_logprobs(later_NKV, tokens_NL[:, 1:]))
        logits_NLV = None
        if keep_logits:
            logits_NLV = (
                first_NV[:, None] if later_NKV is None else torch.cat([first_NV[:, None], later_NKV], 1)
            )
        return CompletionScores(
            logprobs_NL=torch.cat([logprobs for logprobs, _ in parts], dim=1) * mask_NL,
            mask_NL=mask_NL,
            logits_NLV=logits_NLV,
            entropy_NL=torch.cat([entropy for _, entropy in parts], dim=1) * mask_NL,
        )

    def _own_positions(
        self, positions_BT: Tensor, lengths: Sequence[int], placed: Sequence[Tensor | None]
    ) -> Tensor:
        """The positions that contexts bring, in place of the usual ones; float32."""
        if not self._takes_positions:
            raise ModelError(
                "a context brings positions of its own, but the forward pass of this language model takes no "
                "`position_ids`"
            )
        positions_BT = positions_BT.float()
        for row, own_T in enumerate(placed):
            if own_T is not None:
                positions_BT[row, -lengths[row] :] = own_T.to(positions_BT)
        return positions_BT

    def _flatten(
        self, prefix: Prefix, completions: Sequence[Sequence[Sequence[int]]]
    ) -> tuple[Tensor, Tensor]:
        """Right-padded token ids of shape (N, L >= 1), and the context that each row continues."""
        if len(completions) != len(prefix.next_position_B):
            raise ModelError(
                f"{len(completions)} groups of completions for {len(prefix.next_position_B)} contexts"
            )
        rows = [row for row, group in enumerate(completions) for _ in group]
        if not rows:
            raise ModelError("there is no completion to score")
        ids = [torch.tensor(tokens, dtype=torch.long) for group in completions for tokens in group]
        tokens_NL = nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=self.end_token_id)
        if tokens_NL.shape[1] == 0:
            raise ModelError("all completions are empty: a completion has at least its end token")
        return tokens_NL.to(self.device), torch.tensor(rows, device=self.device)

    def _extend_later(self, prefix: Prefix, tokens_NL: Tensor, rows_N: Tensor) -> Tensor | None:
        """Logits of shape (N, L - 1, V) that predict tokens 1 to L - 1; None when L is 1."""
        inputs_NK = tokens_NL[:, :-1]
        steps = inputs_NK.shape[1]
        if steps == 0:
            return None
        mask_NT = nn.functional.pad(prefix.mask_BT[rows_N], (0, steps), value=True)
        positions_NK = prefix.next_position_B[rows_N, None] + torch.arange(steps, device=self.device)
        cache = select_rows(prefix.cache, rows_N, in_place_growth=False)
        return self._forward(cache, mask_NT, positions_NK, input_ids=inputs_NK)

    def _forward(
        self, cache: Cache, mask_BT: Tensor, positions: Tensor, *, only_last: bool = False, **inputs: Tensor
    ) -> Tensor:
        """Run the model on new positions, which are appended to `cache`; mask_BT covers old and new slots."""
        options: dict[str, Any] = {}
        if self._position_table is not None and (last := int(positions.max())) >= self._position_table:
            raise ModelError(
                f"the language model has a table of {self._position_table} positions, and position {last} is to be "
                "read: shorten the recordings or texts, lower max_new_tokens, or take a model with rotary positions"
            )
        if self._takes_positions:
            options["position_ids"] = positions
        if only_last and self._takes_logits_to_keep:
            options["logits_to_keep"] = 1
        output = self.causal_lm(
            **inputs,
            **options,
            attention_mask=mask_BT,
            past_key_values=cache,
            use_cache=True,
            return_dict=True,
        )
        logits: Tensor = output.logits
        return logits


def _position_table(causal_lm: PreTrainedModel, tokens: nn.Embedding) -> int | None:
    """How many positions a model with learned ones knows (GPT-2, OPT); None for one that computes them."""
    known = getattr(causal_lm.config, "max_position_embeddings", None)
    tables = (m for m in causal_lm.modules() if isinstance(m, nn.Embedding) and m is not tokens)
    # OPT's table begins with two rows that are never read.
    return known if known and any(table.num_embeddings in (known, known + 2) for table in tables) else None


def _filled(cache: Cache) -> int:
    """Positions in a cache.

    Raises:
        ModelError: The model keeps something else than attention.
    """
    try:
        return int(cache.get_seq_length())
    except ValueError as error:
        raise ModelError(
            f"the language model keeps no attention cache ({error}): what it has read cannot be continued several "
            "times. Take a transformer, or a hybrid with attention layers"
        ) from error
