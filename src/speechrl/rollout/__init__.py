"""Engines that sample completions from contexts."""
