"""A model by what it computes with: the hash of its weights."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from speechrl.models.base import SpeechModel


def fingerprint(model: SpeechModel) -> str:
    """That of encoder, language model, and what a recogniser puts behind the audio, where it is in neither."""
    start_D = getattr(model, "frozen_start", None)
    further = [] if start_D is None else [nn.ParameterList([nn.Parameter(start_D, requires_grad=False)])]
    return weights_fingerprint(model.encoder, model.language_model, *further)


def weights_fingerprint(*modules: nn.Module) -> str:
    """16 hexadecimal digits that depend on every weight, by name, shape and bytes."""
    digest = hashlib.sha256()
    for module in modules:
        _add(digest, module)
    return digest.hexdigest()[:16]


def _add(digest: hashlib._Hash, module: nn.Module) -> None:
    for name, weight in module.state_dict().items():
        host = weight.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(host.shape)}{host.dtype}".encode())
        digest.update(host.view(-1).view(torch.uint8).numpy().data if host.numel() else b"")
