"""faceindex: find, group and recognise the people in a folder of photos.

The library's face is `FaceIndex`; errors are in `faceindex.errors`, plain data in
`faceindex.types`. Importing the package imports none of the heavy libraries.
"""

TYPE_CHECKING = False  # type checkers know the name; importing typing takes longer than all the rest

if TYPE_CHECKING:
    from faceindex.api import FaceIndex

__version__ = "0.1.0"

__all__ = ["FaceIndex", "__version__"]


def __getattr__(name: str) -> object:
    if name == "FaceIndex":
        from faceindex.api import FaceIndex

        return FaceIndex
    raise AttributeError(f"module 'faceindex' has no attribute '{name}'")
