"""faceindex: find, group and recognise the people in a folder of photos."""

__version__ = "0.1.0"
