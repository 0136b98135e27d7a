"""Nested state as JSON plus tensors, so that a checkpoint needs no pickle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

_MARK = "$tensor"


def split(state: Any) -> tuple[Any, dict[str, Tensor]]:
    """Take the tensors out of nested mappings and sequences.

    Returns:
        The tree, with `{"$tensor": name}` in place of each tensor and lists for tuples, and the tensors by name, on the
        host, contiguous, none sharing memory with another.

    Raises:
        TypeError: A leaf is neither a tensor nor a JSON value, or a key is not a string.
    """
    tensors: dict[str, Tensor] = {}
    return _split(state, "", tensors), tensors


def join(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Put the tensors back: the inverse of `split`, but for tuples, which stay lists."""
    if isinstance(tree, dict):
        if set(tree) == {_MARK}:
            return tensors[tree[_MARK]]
        return {key: join(value, tensors) for key, value in tree.items()}
    if isinstance(tree, list):
        return [join(value, tensors) for value in tree]
    return tree


def _split(node: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, torch.Tensor):
        tensors[path] = node.detach().to("cpu", copy=True).contiguous()
        return {_MARK: path}
    if isinstance(node, Mapping):
        if not all(isinstance(key, str) for key in node):
            raise TypeError(f"keys of {path or 'the state'} must be strings")
        return {key: _split(value, f"{path}/{key}", tensors) for key, value in node.items()}
    if isinstance(node, Sequence) and not isinstance(node, str | bytes):
        return [_split(value, f"{path}/{index}", tensors) for index, value in enumerate(node)]
    if node is None or isinstance(node, str | int | float | bool):
        return node
    raise TypeError(f"{path} is a {type(node).__name__}, which a checkpoint cannot hold")
