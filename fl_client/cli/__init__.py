"""The command line: `candor`. One file a group of commands; errors become one sentence and an exit code."""

from fl_client.cli.app import main

__all__ = ["main"]
