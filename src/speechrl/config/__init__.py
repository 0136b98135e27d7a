"""Strict configuration: YAML files and `key=value` overrides. Imports no torch."""
