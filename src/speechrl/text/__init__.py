"""Normalisers per language, alignment with edit counts, loop detection. Pure Python, no torch."""
