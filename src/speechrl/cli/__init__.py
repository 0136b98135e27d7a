"""The command line, one thin file per verb; each imports what it needs when it runs, so `--help` is quick."""
