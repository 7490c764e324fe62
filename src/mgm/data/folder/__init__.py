"""A folder of one's own: pictures, labels in whatever form they are, and a few words on what the numbers mean."""

from __future__ import annotations

from mgm.data.folder.source import FolderSource

__all__ = ["FolderSource"]
