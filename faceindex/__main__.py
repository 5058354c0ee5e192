"""``python -m faceindex`` is the command ``faceindex``."""

from faceindex.cli.start import main

if __name__ == "__main__":
    main()
