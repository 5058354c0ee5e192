"""The objects of a store, some at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from faceindex.addresses import normal_path, scheme_of
from faceindex.errors import FaceIndexError, ImageError, Reason
from faceindex.images.remote import failure_of
from faceindex.images.remote_details import Details, details_of
from faceindex.images.special_files import JUNK

__all__ = ["Found", "is_junk", "pages"]


class Found(NamedTuple):
    """An object; `name` is relative to the listed address."""

    name: str
    details: Details


def is_junk(name: str) -> bool:
    """Return whether an object, or a folder above it, is hidden or has a name that no walk takes."""
    return any(part.startswith(".") or part.lower() in JUNK for part in name.split("/"))


def pages(
    system: Any, address: str, unlisted: dict[str, ImageError], most: int | None = None
) -> Iterator[list[Found]]:
    """Yield the objects below an address, some at a time.

    Parameters
    ----------
    system : fsspec.AbstractFileSystem
    address : str
    unlisted : dict of str to ImageError
        Gets the folders below the address that cannot be listed, by their paths with a slash at the end.
        Nothing is known of the objects in them.
    most : int, optional
        How many objects are needed. None means all.

    Raises
    ------
    FileNotFoundError
        If there are none, or no such bucket, as far as the store distinguishes the two.
    ImageError
        If the store cannot be reached.
    """
    try:
        if hasattr(system, "call_s3"):
            yield from _pages_of_s3(system, address, most)
        else:
            yield from _pages_by_folder(system, address, unlisted, most)
    except (FileNotFoundError, MemoryError, FaceIndexError, GeneratorExit):
        raise
    except Exception as error:
        raise failure_of(error, address) from error


def _pages_of_s3(system: Any, address: str, most: int | None) -> Iterator[list[Found]]:
    """As `pages`, of a whole bucket or prefix at once: fsspec would keep the details of all objects."""
    bucket, key, _ = system.split_path(address)
    prefix = f"{key}/" if key else ""
    options: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, **system.req_kw}
    if most is not None:
        options["MaxKeys"] = most
    while True:
        page = system.call_s3("list_objects_v2", **options)
        yield [
            Found(one["Key"][len(prefix) :], details_of(one))
            for one in page.get("Contents", ())
            if not one["Key"].endswith("/")  # the mark of an empty folder
        ]
        token = page.get("NextContinuationToken")
        if most is not None or not page.get("IsTruncated") or not token:
            return
        options["ContinuationToken"] = token


def _pages_by_folder(
    system: Any, address: str, unlisted: dict[str, ImageError], most: int | None
) -> Iterator[list[Found]]:
    """As `pages`, of one folder after the other, whatever the file system is.

    The `walk` of fsspec is of no use here: below the first folder, one that cannot be listed counts as empty.
    """
    address = normal_path(address)
    # Without a path, SFTP lists the home folder, and states no names.
    base = system._strip_protocol(address).rstrip("/") or system._strip_protocol(f"{address}/")
    waiting = [base]  # folders to list, the next one last
    while waiting:
        folder = waiting.pop()
        prefix = folder[len(base) :].strip("/")
        prefix += "/" if prefix else ""
        try:
            found = system.ls(folder, detail=True)
            if not found and scheme_of(address) == "ftp":
                _check_listable(system, folder)
        except FileNotFoundError:
            if folder == base:
                raise
            continue  # deleted since the folder above was listed
        except (MemoryError, FaceIndexError):
            raise
        except Exception as error:
            failure = failure_of(error, f"{address}/{prefix}".rstrip("/"))
            if folder == base or (failure.reason is not Reason.DENIED and not _answers(system, base)):
                raise
            unlisted[prefix] = failure
            continue
        page, inner = [], []
        for info in found:
            path = info["name"].rstrip("/")
            name = path.rpartition("/")[2]
            if not name or path == folder:
                continue  # the mark of the folder itself
            if info["type"] != "directory":
                page.append(Found(prefix + name, details_of(info)))
            elif not is_junk(name):
                inner.append(path)
        del found
        waiting += reversed(inner)
        yield page
        if most is not None and page:
            return


def _check_listable(system: Any, folder: str) -> None:
    """Raise PermissionError if an FTP server refuses to list a folder: fsspec shows it as empty."""
    try:
        system.ftp.dir(folder, lambda line: None)
    except Exception as error:
        if type(error).__name__ != "error_perm":  # ftplib is not imported: it opens connections
            raise
        raise PermissionError(str(error)) from error


def _answers(system: Any, base: str) -> bool:
    """Return whether a store is there: otherwise each of its folders would wait until that is clear."""
    try:
        system.info(base)
    except FileNotFoundError:
        return True
    except MemoryError:
        raise
    except Exception:
        return False
    return True
