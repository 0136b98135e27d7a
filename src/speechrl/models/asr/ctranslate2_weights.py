"""Whisper weights out of CTranslate2's `model.bin`, for packages that carry no other format."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import torch

from speechrl.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

# CTranslate2's DataType enumeration, as far as unquantised models use it.
_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}

_LAYER_NAMES = {
    "self_attention/layer_norm/gamma": "self_attn_layer_norm.weight",
    "self_attention/layer_norm/beta": "self_attn_layer_norm.bias",
    "self_attention/linear_1/weight": "self_attn.out_proj.weight",
    "self_attention/linear_1/bias": "self_attn.out_proj.bias",
    "ffn/layer_norm/gamma": "final_layer_norm.weight",
    "ffn/layer_norm/beta": "final_layer_norm.bias",
    "ffn/linear_0/weight": "fc1.weight",
    "ffn/linear_0/bias": "fc1.bias",
    "ffn/linear_1/weight": "fc2.weight",
    "ffn/linear_1/bias": "fc2.bias",
}

_TOP_NAMES = {
    "encoder/conv1/weight": "conv1.weight",
    "encoder/conv1/bias": "conv1.bias",
    "encoder/conv2/weight": "conv2.weight",
    "encoder/conv2/bias": "conv2.bias",
    "encoder/position_encodings/encodings": "embed_positions.weight",
    "encoder/layer_norm/gamma": "layer_norm.weight",
    "encoder/layer_norm/beta": "layer_norm.bias",
}


def read_variables(*parts: Path) -> dict[str, np.ndarray]:
    """Read every variable of a CTranslate2 model of binary version 6.

    Args:
        parts: The `model.bin`, or the pieces that it was cut into, in their order.

    Returns:
        Arrays by their CTranslate2 name, in their stored type.

    Raises:
        ModelError: The file is missing, cut short, quantised, or of another version.
    """
    path = parts[0]
    try:
        file = io.BytesIO(b"".join(part.read_bytes() for part in parts))
        version = _number(file, "I")
        if version != 6:
            raise ModelError(f"{path}: CTranslate2 binary version {version}; only version 6 is understood")
        _string(file)
        _number(file, "I")
        return dict(_variable(file, path) for _ in range(_number(file, "I")))
    except FileNotFoundError as error:
        raise ModelError(
            f"{error.filename}: no such model file; reinstall the package that carries it"
        ) from error
    except (struct.error, ValueError) as error:
        raise ModelError(
            f"{path}: cut short or damaged ({error}); reinstall the package that carries it"
        ) from error


def whisper_encoder_weights(*parts: Path) -> dict[str, Tensor]:
    """The encoder of a CTranslate2 Whisper model under the names of transformers' `WhisperEncoder`, in float32.

    Args:
        parts: As of `read_variables`.

    Raises:
        ModelError: As `read_variables`, or the file holds no Whisper encoder.
    """
    variables = read_variables(*parts)
    weights: dict[str, Tensor] = {}
    for name, array in variables.items():
        if name in _TOP_NAMES:
            weights[_TOP_NAMES[name]] = _tensor(array)
        elif name.startswith("encoder/layer_") and not name.startswith("encoder/layer_norm"):
            _, layer, rest = name.split("/", 2)
            prefix = f"layers.{layer.removeprefix('layer_')}."
            if rest in _LAYER_NAMES:
                weights[prefix + _LAYER_NAMES[rest]] = _tensor(array)
            elif rest.startswith("self_attention/linear_0/"):
                weights.update(_split_fused(prefix, rest.rsplit("/", 1)[1], array))
    if "conv1.weight" not in weights:
        raise ModelError(f"{parts[0]}: holds no Whisper encoder")
    return weights


def _split_fused(prefix: str, kind: str, array: np.ndarray) -> dict[str, Tensor]:
    parts = dict(zip("qkv", np.split(array, 3), strict=True))
    if kind == "bias":
        # Whisper's keys have no bias; CTranslate2 fills in zeros to fuse the three projections.
        del parts["k"]
    return {f"{prefix}self_attn.{part}_proj.{kind}": _tensor(values) for part, values in parts.items()}


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


def _number(file: BinaryIO, code: str) -> int:
    return int(struct.unpack(f"<{code}", file.read(struct.calcsize(code)))[0])


def _string(file: BinaryIO) -> str:
    return file.read(_number(file, "H")).rstrip(b"\0").decode()


def _variable(file: BinaryIO, path: Path) -> tuple[str, np.ndarray]:
    name = _string(file)
    shape = [_number(file, "I") for _ in range(_number(file, "B"))]
    dtype = _DTYPES.get(_number(file, "B"))
    if dtype is None:
        raise ModelError(f"{path}: variable {name} has a type that is not understood")
    data = file.read(_number(file, "I"))
    return name, np.frombuffer(data, dtype=dtype).reshape(shape)
