"""Speech LLMs: protocols, the language model (prefill / extend), and one folder per task."""
