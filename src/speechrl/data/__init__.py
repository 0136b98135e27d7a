"""The data layer: manifests, checks, prompts, the stream, and what is derived from recordings."""
