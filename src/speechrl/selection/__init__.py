"""Choosing data for reinforcement learning: listen, ask judges, choose by rules, say what was done."""
