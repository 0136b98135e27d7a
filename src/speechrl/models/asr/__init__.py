"""Recognisers: audio encoder + adapter -> language model -> text."""
