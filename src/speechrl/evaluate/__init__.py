"""Held-out evaluation, confidence intervals and paired tests."""
