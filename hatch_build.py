"""Building a wheel or an sdist from a checkout writes its commit into it, where `predictdyn --version` reads it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):
    """Adds one file; an sdist has it already, and an editable install asks git itself."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put the commit beside the modules of what is built."""
        root = Path(self.root)
        if version == "editable" or not (root / ".git").exists():
            return
        sys.path.insert(0, str(root / "predictdyn"))
        try:
            from commit import WRITTEN, of_checkout
        finally:
            sys.path.pop(0)
        self.folder = tempfile.TemporaryDirectory()
        file = Path(self.folder.name) / WRITTEN
        if found := of_checkout(root):
            file.write_text(found + "\n", encoding="utf-8")
            build_data["force_include"][str(file)] = f"predictdyn/{WRITTEN}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Nothing is left behind."""
        if hasattr(self, "folder"):
            self.folder.cleanup()
