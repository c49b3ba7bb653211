"""``python -m smartcore`` is the command ``smartcore``."""

from smartcore.cli import main

main()
