"""Carry checkpoints and experiments in the wheel; an editable install reads them from the tree."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CarryData(BuildHookInterface):
    """Put `checkpoints/` and `experiments/` beside the package's modules."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folders to a standard wheel."""
        if version == "standard":
            for folder in ("checkpoints", "experiments"):
                if (Path(self.root) / folder).is_dir():
                    build_data["force_include"][folder] = f"sat3d/{folder}"
