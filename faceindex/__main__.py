"""``python -m faceindex`` is the command ``faceindex``."""

from faceindex.cli.app import main

if __name__ == "__main__":
    main()
