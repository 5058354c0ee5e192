"""The command line: parses, calls the library, renders. The only home of typer and rich."""
