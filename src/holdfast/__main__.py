"""`python -m holdfast`."""

from holdfast.cli.main import program

program()
