"""The starter synthesiser: its synthetic-speech corpus, its training and its loading."""
