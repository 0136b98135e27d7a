"""The starter recogniser: its synthetic-speech corpus, its training and its loading."""
