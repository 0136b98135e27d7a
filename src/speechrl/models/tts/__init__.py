"""Synthesisers: text and a reference voice in, speech tokens and waveforms out."""
