"""What `Store` has for forgetting: deleting for good, what was forgotten, copies, and traces of faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.store.copies import CopyTable
from faceindex.store.erasing import Forgetting, pending_contents

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog
    from faceindex.store.forgotten import ForgottenTables
    from faceindex.store.traces import Traces

__all__ = ["ForgettingStore"]


class ForgettingStore:
    """Gives access to the tables and files that forgetting is about. `Store` opens them."""

    directory: Path
    compact: Callable[..., object]
    _catalog: Catalog
    _require_writable: Callable[[], Catalog]

    @property
    def forgetting(self) -> Forgetting:
        """Deletes faces, people and photos for good."""
        return Forgetting(self._require_writable(), self.directory, lambda: self.compact(erase=True))

    @property
    def forgotten(self) -> ForgottenTables:
        """What was forgotten, so that nothing brings it back."""
        from faceindex.store.forgotten import ForgottenTables

        return ForgottenTables(self._catalog)

    def forgotten_contents(self) -> set[bytes]:
        """Return the contents of the photos of faces that are being forgotten."""
        return pending_contents(self._catalog)

    @property
    def copies(self) -> CopyTable:
        """Where exports and galleries of the index are."""
        return CopyTable(self._catalog)

    @property
    def traces(self) -> Traces:
        """Finds what the index holds of faces and texts."""
        from faceindex.store.traces import Traces

        return Traces(self._catalog, self.directory)
