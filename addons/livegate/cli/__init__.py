"""The `livegate` command. `app` has options and help; `run`, `read` and `top` do the work; may import everything.

To add a subcommand, add a function with `@app.command()` to `app`, and run `make docs`.
"""

from livegate.cli.app import main

__all__ = ["main"]
