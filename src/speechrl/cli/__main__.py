"""`python -m speechrl.cli`: the same as the command `speechrl`."""

from speechrl.cli.app import main

main()
