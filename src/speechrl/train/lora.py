"""LoRA adapters on the language model: peft's layers, put in place so that the model keeps its class and its shape.

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models". The weights before the adapters are the
reference policy, so a reference costs no memory.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from speechrl.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

_ROUTERS = ("gate", "router", "shared_expert_gate")


def add_adapters(module: nn.Module, rank: int) -> None:
    """Put an adapter on every linear layer of a causal LM but its head; only adapters need gradients afterwards.

    Alpha is twice the rank and there is no dropout, so that scoring stays deterministic. Adapters begin at zero effect.
    Of a mixture of experts neither the router nor experts that are fused into one parameter get any.

    Raises:
        ModelError: It has no linear layer.
    """
    from peft import LoraConfig, inject_adapter_in_model  # seconds to import: only where it is used

    names = _linear_layers(module)
    if not names:
        raise ModelError(
            f"{type(module).__name__} has no linear layers for LoRA adapters: set model.lora_rank to 0"
        )
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=names)
    inject_adapter_in_model(config, module)


def _linear_layers(module: nn.Module) -> list[str]:
    """Names of the layers that get an adapter; a subclass of a linear layer may return something else than one."""
    head = getattr(module, "get_output_embeddings", lambda: None)()
    return [
        name
        for name, layer in module.named_modules()
        if type(layer) in (nn.Linear, Conv1D)
        and layer is not head
        and name.rpartition(".")[2] not in _ROUTERS
    ]


@contextmanager
def adapters_off(module: nn.Module) -> Iterator[None]:
    """Inside, the model computes what it did before it had adapters."""
    layers = [layer for _, layer in _layers(module)]
    flags = [parameter.requires_grad for parameter in module.parameters()]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        # peft freezes adapters while they are off, and thaws all of them.
        for parameter, flag in zip(module.parameters(), flags, strict=True):
            parameter.requires_grad_(flag)


def merged_state(module: nn.Module) -> dict[str, Tensor]:
    """The state dict that the module would have without adapters, their effect added to the weights."""
    state: dict[str, Tensor] = {
        name.replace(".base_layer", ""): value.detach()
        for name, value in module.state_dict().items()
        if ".lora_" not in name
    }
    with torch.no_grad():
        for name, layer in _layers(module):
            state[f"{name}.weight"] = layer.get_base_layer().weight + layer.get_delta_weight("default")
    return state


def merge_adapters(module: nn.Module) -> None:
    """Replace every adapted layer by a plain one with the merged weights: the module as it is saved."""
    for name, layer in _layers(module):
        layer.merge()
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, layer.get_base_layer())


def _layers(module: nn.Module) -> list[tuple[str, Any]]:
    return [
        (name, layer)
        for name, layer in module.named_modules()
        if hasattr(layer, "lora_A") and hasattr(layer, "merge")
    ]
