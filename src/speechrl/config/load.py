"""From a YAML file and `key=value` overrides to a checked `RunConfig`; every refusal says how to mend it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from speechrl.config.complaints import describe
from speechrl.config.schema import RunConfig
from speechrl.config.selection import SelectionConfig
from speechrl.config.token2text import Token2TextRun
from speechrl.config.yaml_reader import parse_yaml
from speechrl.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE = "package:"

Root = TypeVar("Root", bound=BaseModel)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read the configuration of a run; see `load_as`."""
    return load_as(RunConfig, path, overrides)


def load_as(root: type[Root], path: str | Path, overrides: Sequence[str] = ()) -> Root:
    """Read a configuration.

    Args:
        root: What it configures.
        path: YAML file; `package:configs/asr/quickstart.yaml` names one that ships with speechrl.
        overrides: `dotted.key=value`, the value read as YAML (`train.steps=10`, `rewards.terms.0.weight=2`).

    Raises:
        ConfigError: The file is missing or not YAML, a key is unknown, a value has the wrong type or is out of range.
            One line per fault, with file, key, what is expected and what was found.
    """
    file, tree = _read(path, root)
    origins: dict[tuple[str | int, ...], str] = {}
    for override in overrides:
        key = _apply(tree, override)
        origins[key] = f"override `{override}`"
    try:
        return root.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(describe(error, file=str(file), origins=origins, root=root)) from None


def load_any(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig | Token2TextRun | SelectionConfig:
    """Read a configuration of a run, of a Token2Text or of a selection: the one whose sections the file has most of.

    Raises:
        ConfigError: As `load_as`.
    """
    _, tree = _read(path, RunConfig)
    roots: tuple[type[RunConfig | Token2TextRun | SelectionConfig], ...] = (
        RunConfig,
        Token2TextRun,
        SelectionConfig,
    )
    return load_as(max(roots, key=lambda root: len(tree.keys() & root.model_fields.keys())), path, overrides)


def _read(path: str | Path, root: type[BaseModel]) -> tuple[Path, dict[str, Any]]:
    """The file that a path names, and its tree, unchecked; `root` is named where it is no tree at all."""
    file = resolve_path(str(path))
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such file. {_neighbours(file)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file}: cannot be read as UTF-8 text ({error}). Give the path of a YAML file."
        ) from error
    tree = parse_yaml(text, source=str(file))
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{file}: expected `key: value` lines with the sections {', '.join(root.model_fields)}."
        )
    return file, tree


def show(config: BaseModel) -> str:
    """The resolved configuration as YAML, defaults included; reading it gives the same value back."""
    text: str = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
    return text


def resolve_path(path: str) -> Path:
    """Turn a path of a configuration into one on disk.

    `package:X` is looked for in the installed package, in its `shipped/` folder (a wheel), and in the repository root
    (an editable install). Any other path is returned as it is, relative to the working directory, with `~` expanded.

    Raises:
        ConfigError: A `package:` path that does not ship with this installation.
    """
    if not path.startswith(PACKAGE):
        return Path(path).expanduser()
    inside = path.removeprefix(PACKAGE)
    package = Path(__file__).resolve().parents[1]
    homes = (package, package / "shipped", package.parents[1])
    for home in homes:
        if (home / inside).exists():
            return home / inside
    raise ConfigError(
        f"{path}: does not ship with this installation. Looked in {', '.join(str(home) for home in homes)}. "
        "Check the spelling, or give an ordinary path."
    )


def _neighbours(file: Path) -> str:
    """Help for a path that does not exist: which configurations lie beside it."""
    if not file.parent.is_dir():
        return f"The folder {file.parent} does not exist either; the working directory is {Path.cwd()}."
    names = sorted(other.name for other in file.parent.glob("*.yaml"))
    return f"In {file.parent.resolve()} there is: {', '.join(names[:8]) or 'no .yaml file'}."


def _apply(tree: dict[str, Any], override: str) -> tuple[str | int, ...]:
    """Set one `dotted.key=value` in the tree, making sections on the way; returns the key as a tuple."""
    dotted, equals, value = override.partition("=")
    if not equals or not dotted or not all(dotted.split(".")):
        raise ConfigError(f"override `{override}`: expected `key=value`, as in `train.steps=10`.")
    parts = dotted.strip().split(".")
    key: list[str | int] = []
    node: Any = tree
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(node, list):
            if not part.isdecimal() or int(part) >= len(node):
                raise ConfigError(
                    f"override `{override}`: {'.'.join(parts[:depth])} is a list of {len(node)}; use a number "
                    f"from 0 to {len(node) - 1}, not `{part}`."
                )
            step: str | int = int(part)
        elif isinstance(node, dict):
            step = part
            if not last and node.get(part) is None:
                node[part] = {}
        else:
            raise ConfigError(
                f"override `{override}`: `{'.'.join(parts[:depth])}` is the value {node!r}, not a section."
            )
        key.append(step)
        if last:
            parsed = parse_yaml(value, source=f"override `{override}`")
            if isinstance(parsed, str) and " #" in value and "#" not in parsed:
                raise ConfigError(
                    f"override `{override}`: what follows ` #` is a comment to YAML; put the value in quotes."
                )
            node[step] = parsed
        else:
            node = node[step]
    return tuple(key)
