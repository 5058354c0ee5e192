"""Run the command ``faceindex`` as ``python -m faceindex``."""

from faceindex.cli.start import main

if __name__ == "__main__":
    main()
