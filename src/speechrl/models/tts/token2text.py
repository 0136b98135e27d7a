"""Token2Text: a recogniser of speech tokens, the reward model of DiffRO (arXiv 2507.05911).

Its input is an embedding per speech token. `embedding.weight` is open to the caller, so that a one-hot of a
Gumbel-Softmax times that matrix takes the place of the look-up and the gradient of the text reaches the policy.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import ctc_loss, gelu

from speechrl.config.load import resolve_path
from speechrl.errors import ModelError
from speechrl.models.atomic_folder import saved_model
from speechrl.models.tts.token2text_parts import (
    ALPHABET,
    Architecture,
    AttentionHead,
    ConvBackbone,
    GruBackbone,
    HeadSpec,
    frames_needed,
    pad_tokens,
    padding_mask,
    spell,
    unspell,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DESCRIPTION = "speechrl.json"
WEIGHTS = "token2text.safetensors"
BLANK = len(ALPHABET)
FRAMES_PER_TOKEN = 2
"""At about 21.5 tokens a second there are too few for every character of fast speech."""
SPEAKER = "speaker"
"""The head whose target is the voice that is to be imitated."""


@dataclass(frozen=True, slots=True)
class Token2TextConfig:
    """What `speechrl.json` holds of a Token2Text.

    Attributes:
        vocabulary: Speech codes; their ids are 0 .. vocabulary - 1, and no end token is among them.
        codebook: Hash of the speech tokenizer whose codes these are.
        architecture: Kind of backbone.
        width: Of embeddings and hidden states.
        layers: Of the backbone.
        kernel: Tokens that a ConvNeXt block looks at, odd; a GRU has no use for it.
        heads: Further tasks by name.
    """

    vocabulary: int
    codebook: str
    architecture: Architecture = "convnext"
    width: int = 224
    layers: int = 4
    kernel: int = 9
    heads: Mapping[str, HeadSpec] = field(default_factory=dict)


class Token2Text(nn.Module):
    """Embeddings of speech tokens -> characters (CTC), and labels of the whole utterance.

    Attributes:
        embedding: One row per speech code.
        heads: Attention-pooling heads by name.
        voices_KD: Mean voice vectors (unit length) of the classes of the `speaker` head; (0, 1) without one.
    """

    voices_KD: Tensor

    def __init__(self, config: Token2TextConfig, voices_KD: Tensor | None = None) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.backbone: nn.Module = (
            ConvBackbone(config.width, config.layers, config.kernel)
            if config.architecture == "convnext"
            else GruBackbone(config.width, config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.upsample = nn.Linear(config.width, FRAMES_PER_TOKEN * config.width)
        self.characters = nn.Linear(config.width, len(ALPHABET) + 1)
        self.heads = nn.ModuleDict(
            {name: AttentionHead(config.width, len(spec.classes)) for name, spec in config.heads.items()}
        )
        self.register_buffer("voices_KD", torch.zeros(0, 1) if voices_KD is None else voices_KD)

    def forward(self, embedded_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """See `forward_embedded`."""
        return self.forward_embedded(embedded_BTD, lengths_B)

    def forward_embedded(self, embedded_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Log-probabilities of characters and blank, shape (B, 2 T, characters + 1), float32.

        Args:
            embedded_BTD: Rows of `embedding`, or mixtures of them; what lies behind a length has no influence.
            lengths_B: Tokens of each utterance.
        """
        return self.characters_of(self.hidden(embedded_BTD, lengths_B))

    def hidden(self, embedded_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """The backbone that all tasks share, shape (B, T, width)."""
        hidden_BTD: Tensor = self.norm(self.backbone(embedded_BTD, lengths_B))
        return hidden_BTD

    def characters_of(self, hidden_BTD: Tensor) -> Tensor:
        """Log-probabilities of characters and blank from the backbone, shape (B, 2 T, characters + 1), float32."""
        batch, tokens, width = hidden_BTD.shape
        frames_BSD = gelu(self.upsample(hidden_BTD)).reshape(batch, FRAMES_PER_TOKEN * tokens, width)
        logprobs_BSC: Tensor = self.characters(frames_BSD).float().log_softmax(-1)
        return logprobs_BSC

    def text_nll(self, embedded_BTD: Tensor, lengths_B: Tensor, texts: Sequence[str]) -> Tensor:
        """-log P(text | tokens) of each utterance in nats, shape (B,), differentiable in the embeddings.

        A text that needs more frames than its tokens give (`alignable` says which) has probability 0: its value is
        +inf and its gradient zero, so that it can neither pass for a perfect answer nor spoil the others' gradient.

        Args:
            embedded_BTD: As in `forward_embedded`.
            lengths_B: As in `forward_embedded`.
            texts: One each; case and punctuation do not matter. An empty text is silence.

        Raises:
            ModelError: A text has characters that cannot be spelled.
        """
        return ctc_nll(self.forward_embedded(embedded_BTD, lengths_B), lengths_B, texts)

    def task_logprobs(
        self,
        embedded_BTD: Tensor,
        lengths_B: Tensor,
        texts: Sequence[str],
        heads: Sequence[str] = (),
        voices_BD: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Log-probability of what is wanted, for `text` and each named head, shape (B,), from one pass (MTR).

        Args:
            embedded_BTD: As in `text_nll`.
            lengths_B: As in `text_nll`.
            texts: As in `text_nll`.
            heads: Names of heads. `speaker` wants the class of the nearest known voice; any other one its preferred
                classes together.
            voices_BD: Voice vectors to imitate, shape (B, D); needed by `speaker` alone.

        Raises:
            ModelError: A head that this model lacks, or `speaker` without voices.
        """
        hidden_BTD = self.hidden(embedded_BTD, lengths_B)
        logprobs = {"text": -ctc_nll(self.characters_of(hidden_BTD), lengths_B, texts)}
        for name in heads:
            classes_BC = self.head_logprobs(name, hidden_BTD, lengths_B)
            if name == SPEAKER:
                target_B = self.nearest_voice(voices_BD).to(classes_BC.device)
                logprobs[name] = classes_BC.gather(1, target_B[:, None])[:, 0]
            else:
                logprobs[name] = classes_BC[:, list(self.config.heads[name].preferred)].logsumexp(1)
        return logprobs

    def head_logprobs(self, name: str, hidden_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Log-probabilities of a head's classes, shape (B, classes).

        Raises:
            ModelError: This model has no such head.
        """
        if name not in self.heads:
            known = ", ".join(self.heads) or "none"
            raise ModelError(
                f"this Token2Text has no head {name!r} (its heads: {known}); train one with `speechrl train "
                f"token2text ... model.heads=[{name}]`, or take it out of algorithm.diffro.heads"
            )
        logprobs_BC: Tensor = self.heads[name](hidden_BTD, padding_mask(lengths_B, hidden_BTD.shape[1]))
        return logprobs_BC

    def nearest_voice(self, voices_BD: Tensor | None) -> Tensor:
        """Class of the known voice that is most like each voice vector, shape (B,), int64.

        Raises:
            ModelError: No vectors, or of another width than the known ones.
        """
        if voices_BD is None or voices_BD.shape[-1] != self.voices_KD.shape[1]:
            found = "none were given" if voices_BD is None else f"these have {voices_BD.shape[-1]} numbers"
            raise ModelError(
                f"the speaker head knows {len(self.voices_KD)} voices by vectors of {self.voices_KD.shape[1]} numbers, "
                f"{found}; use the voice encoder of the synthesiser that it was trained for"
            )
        return (voices_BD.to(self.voices_KD) @ self.voices_KD.T).argmax(1)

    @torch.no_grad()
    def nll(self, tokens: Sequence[Sequence[int]], texts: Sequence[str]) -> Tensor:
        """`text_nll` of token ids, shape (B,), on the CPU.

        Raises:
            ModelError: A token or a character that is not in its vocabulary.
        """
        return self.text_nll(*self._embed(tokens), texts).cpu()

    @torch.no_grad()
    def transcribe(self, tokens: Sequence[Sequence[int]], batch_size: int = 32) -> list[str]:
        """What is heard in lists of speech tokens, greedily; nothing in an empty list.

        Raises:
            ModelError: A token that is not a speech code of its vocabulary.
        """
        texts = [""] * len(tokens)
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            embedded_BTD, lengths_B = self._embed([tokens[row] for row in rows])
            best_BS = self.forward_embedded(embedded_BTD, lengths_B).argmax(-1).cpu()
            for row, best_S, length in zip(rows, best_BS, lengths_B.tolist(), strict=True):
                said = torch.unique_consecutive(best_S[: FRAMES_PER_TOKEN * length]).tolist()
                texts[row] = unspell([index for index in said if index != BLANK])
        return texts

    def _embed(self, tokens: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        tokens_BT, lengths_B = pad_tokens(tokens, self.embedding.weight.device)
        if (
            tokens_BT.numel()
            and not 0 <= int(tokens_BT.min()) <= int(tokens_BT.max()) < self.config.vocabulary
        ):
            raise ModelError(
                f"token {int(tokens_BT.max())}: this Token2Text knows the speech codes 0 to "
                f"{self.config.vocabulary - 1}; take out the end token, or use the Token2Text of this policy"
            )
        return self.embedding(tokens_BT), lengths_B

    def save(self, folder: Path) -> None:
        """Write `speechrl.json` and float16 weights; `load_token2text(folder)` gives this model back.

        Raises:
            CheckpointError: The folder cannot be written; an older model in it is as it was.
        """
        description = {"task": "tts", "model": "token2text", "alphabet": ALPHABET, **asdict(self.config)}
        weights = {name: t.detach().half().contiguous().cpu() for name, t in self.state_dict().items()}
        with saved_model(folder, "Make room, or choose another place; what was trained is lost") as new:
            (new / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
            save_file(weights, new / WEIGHTS)


def ctc_nll(logprobs_BSC: Tensor, lengths_B: Tensor, texts: Sequence[str]) -> Tensor:
    """Negative log-likelihood of texts under CTC (Graves et al. 2006, eq. 8), shape (B,); see `Token2Text.text_nll`.

    Computed on the host: on CUDA its gradient adds up in no fixed order, and a run would not repeat itself.
    """
    spelled = [spell(text) for text in texts]
    nll_B = ctc_loss(
        logprobs_BSC.cpu().transpose(0, 1),
        torch.tensor([index for ids in spelled for index in ids], dtype=torch.long),
        FRAMES_PER_TOKEN * lengths_B.cpu(),
        torch.tensor([len(ids) for ids in spelled], dtype=torch.long),
        blank=BLANK,
        reduction="none",
        zero_infinity=True,
    )
    return torch.where(alignable(lengths_B, texts), nll_B.to(lengths_B.device), torch.inf)


def alignable(lengths_B: Tensor, texts: Sequence[str]) -> Tensor:
    """Whether each text fits into the frames of its tokens, bool, shape (B,)."""
    needed_B = torch.tensor([frames_needed(spell(text)) for text in texts], device=lengths_B.device)
    return needed_B <= FRAMES_PER_TOKEN * lengths_B


class SpeaksCodes(Protocol):
    """What `check_vocabulary` asks of a synthesiser."""

    @property
    def codebook(self) -> str:
        """Hash of its speech tokenizer."""
        ...

    @property
    def codes(self) -> int:
        """Speech codes in the vocabulary of its language model, without the end token."""
        ...


def check_vocabulary(token2text: Token2Text, synthesiser: SpeaksCodes, named: str) -> None:
    """Make sure that a token means the same sound to both.

    Args:
        token2text: Who reads.
        synthesiser: Who speaks.
        named: Where the Token2Text was named, and its folder, for the message.

    Raises:
        ModelError: They have another number of speech codes, or codes of another tokenizer.
    """
    ours = token2text.config
    mend = (
        "train a Token2Text on codes of this synthesiser's tokenizer (`speechrl train token2text`), or name the "
        "one that belongs to it"
    )
    if ours.vocabulary != synthesiser.codes:
        raise ModelError(
            f"{named}: this Token2Text has {ours.vocabulary} speech codes, the synthesiser {synthesiser.codes}; {mend}"
        )
    if ours.codebook != synthesiser.codebook:
        raise ModelError(
            f"{named}: this Token2Text was trained on codes of tokenizer {ours.codebook!r}, the synthesiser speaks "
            f"those of {synthesiser.codebook!r}; {mend}"
        )


def load_token2text(path: str | Path) -> Token2Text:
    """Load what `Token2Text.save` wrote: float32, frozen, in evaluation mode.

    Args:
        path: Folder; `package:starter/token2text` is the one that ships.

    Raises:
        ModelError: There is none, or a part is missing or does not fit the others.
    """
    folder = resolve_path(str(path))
    if not (folder / DESCRIPTION).is_file():
        raise ModelError(
            f"{path}: no Token2Text there ({folder / DESCRIPTION} is missing); give a folder that "
            "`speechrl train token2text` wrote"
        )
    try:
        description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if description.get("model") != "token2text":
            raise ModelError(
                f"{folder}: holds a {description.get('model')}, not a Token2Text; give its folder"
            )
        if description["alphabet"] != ALPHABET:
            raise ModelError(
                f"{folder}: spells with {description['alphabet']!r}, this version with {ALPHABET!r}; train it again"
            )
        values = {key: description[key] for key in Token2TextConfig.__dataclass_fields__}
        values["heads"] = {
            name: HeadSpec(**{key: tuple(value) for key, value in spec.items()})
            for name, spec in values["heads"].items()
        }
        weights = {name: t.float() for name, t in load_file(folder / WEIGHTS).items()}
        model = Token2Text(Token2TextConfig(**values), weights["voices_KD"])
        model.load_state_dict(weights)
    except (OSError, KeyError, TypeError, AttributeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: cannot load the Token2Text: {error}; copy or train it again") from error
    return model.eval().requires_grad_(False)
