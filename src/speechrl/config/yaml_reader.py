"""YAML as people write it: `1e-4` is a number, and a key given twice is an error."""

from __future__ import annotations

import re
from typing import Any

import yaml

from speechrl.errors import ConfigError


class _Reader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """PyYAML's safe loader with YAML 1.2 floats and without silent duplicates."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    "a key is no word, as in a template that was not filled in",
                    key_node.start_mark,
                )
            if key_node.value in seen and key_node.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key_node.value}` is given twice; keep one", key_node.start_mark
                )
            seen.add(key_node.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


# YAML 1.1 (PyYAML) asks for a dot and a sign: `1e-4` would silently be the text "1e-4".
_Reader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, *, source: str) -> Any:
    """Parse one YAML document into plain values.

    Args:
        text: The document.
        source: Where it is from, for the message.

    Raises:
        ConfigError: It is not valid YAML, with line and column.
    """
    try:
        return yaml.load(text, Loader=_Reader)  # noqa: S506  (a subclass of SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        raise ConfigError(f"{source}{where}: not valid YAML: {error.problem or error.context}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {error}.") from None
