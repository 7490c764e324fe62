"""Folders of images and label files, matched by name; ``dataset.yaml`` or a preset defines what the numbers mean."""

from __future__ import annotations

from mgm.data.sources.folder.source import FolderSource

__all__ = ["FolderSource"]
