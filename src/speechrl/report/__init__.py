"""Metrics, writers, samples and the HTML page of a run."""
