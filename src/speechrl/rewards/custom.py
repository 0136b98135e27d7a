"""A user's own reward: `module:function` or `path/to/file.py:function`, found and held against its options."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from speechrl.errors import ConfigError
from speechrl.rewards.verdict import describe_exception

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType


def load_target(target: str) -> Callable[..., Any]:
    """Import `module:function` or `path/to/file.py:function`.

    Raises:
        ConfigError: The target has another form, or its module or function is missing or broken.
    """
    place, _, name = target.rpartition(":")
    if not place or not name:
        raise ConfigError(f"reward {target!r} is neither `module:function` nor `path/to/file.py:function`")
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    function = getattr(module, name, None)
    if not callable(function):
        own = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        near = difflib.get_close_matches(name, own, n=1)
        mend = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sorted(own)) or 'no functions'}"
        raise ConfigError(f"reward {target!r}: {place} has no function {name!r}; {mend}")
    return cast("Callable[..., Any]", function)


def check_call(target: str, function: Callable[..., Any], options: Mapping[str, object]) -> None:
    """See that `function(output, prompt, **options)` can be called.

    Raises:
        ConfigError: It takes no two positional arguments, lacks an option, or does not know one.
    """
    signature = inspect.signature(function)
    try:
        signature.bind("output", "prompt", **options)
    except TypeError as error:
        raise ConfigError(
            f"reward {target!r} cannot be called as function(output, prompt{_listed(options)}): {error}. "
            f"Its signature is {signature}; options of the reward become keyword arguments"
        ) from error


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"reward file {str(path)!r} does not exist in {Path.cwd()}")
    spec = importlib.util.spec_from_file_location(f"speechrl_custom_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"reward file {str(path)!r} cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look a module up by its name.
    sys.modules[spec.name] = module
    # Its neighbours are importable, as if the file were run.
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(
            f"reward file {str(path)!r} {describe_exception(error)} while it was imported"
        ) from error
    return module


def _load_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(
                f"there is no module {name!r} for the reward; is it installed, or in {Path.cwd()}? "
                "A file is named as path/to/file.py:function"
            ) from error
        raise ConfigError(f"reward module {name!r} needs {error.name!r}, which is not installed") from error
    except Exception as error:
        raise ConfigError(
            f"reward module {name!r} {describe_exception(error)} while it was imported"
        ) from error


def _listed(options: Mapping[str, object]) -> str:
    return "".join(f", {name}=..." for name in options)
