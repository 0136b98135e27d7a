"""Reinforcement learning for speech LLMs: recognisers and synthesisers."""

__version__ = "0.1.0"
