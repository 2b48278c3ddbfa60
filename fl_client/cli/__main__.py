"""`python -m fl_client.cli`."""

from fl_client.cli import main

main()
