"""Descriptor groups: the phrases with which a text-image model is asked about attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Self

import yaml


def bundled_descriptors() -> tuple[str, ...]:
    """Name the descriptor files that come with the package."""
    folder = resources.files("sat3d.perception") / "descriptors"
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


@dataclass(frozen=True)
class DescriptorGroups:
    """Phrases by attribute and group, with the templates they are put into.

    A group is a set of phrases that exclude one another; an attribute may have several groups ("short hair, long
    hair" and "straight hair, curly hair"). Section 3 of SAT3D, arXiv 2408.01664.

    Example:
        >>> groups = DescriptorGroups.from_yaml("toyfaces")
        >>> groups.attributes[0], groups.groups[groups.attributes[0]]
    """

    groups: Mapping[str, Sequence[Sequence[str]]]
    templates: Sequence[str] = ("{}",)
    source: str = "descriptor groups"

    def __post_init__(self) -> None:
        _check(self.groups, self.templates, self.source)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes, in the file's order."""
        return tuple(self.groups)

    def subset(self, attributes: Sequence[str]) -> DescriptorGroups:
        """Keep some attributes.

        Raises:
            ValueError: If one of them is unknown.
        """
        unknown = [name for name in attributes if name not in self.groups]
        if unknown:
            raise ValueError(f"{self.source}: unknown attributes {unknown}; known: {', '.join(self.groups)}")
        return DescriptorGroups({name: self.groups[name] for name in attributes}, self.templates, self.source)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a descriptor file, or one of the bundled files by its name (``toyfaces``, ``faces``, ...).

        The file has ``templates`` (a phrase takes the place of ``{}``) and ``attributes``: for each attribute a list
        of groups, each a list of at least two phrases.

        Raises:
            FileNotFoundError: If there is neither such a file nor such a bundled name.
            ValueError: If the file's content is not as described; names the file, the attribute and the reason.
        """
        file = Path(path)
        if file.is_file():
            text, source = file.read_text(encoding="utf-8"), str(path)
        elif str(path) in bundled_descriptors():
            text = (resources.files("sat3d.perception") / "descriptors" / f"{path}.yaml").read_text(encoding="utf-8")
            source = f"{path}.yaml"
        else:
            known = ", ".join(bundled_descriptors())
            raise FileNotFoundError(f"no descriptor file {str(path)!r}; give a YAML file or a bundled name: {known}")
        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"{source}: not valid YAML: {error}") from error
        if not isinstance(content, dict):
            raise ValueError(f"{source}: expected a mapping with the keys 'templates' and 'attributes'")
        unknown = set(content) - {"templates", "attributes"}
        if unknown:
            raise ValueError(f"{source}: unknown keys {sorted(map(str, unknown))}; allowed: templates, attributes")
        templates = content.get("templates", ["{}"])
        return cls(content.get("attributes", {}), [templates] if isinstance(templates, str) else templates, source)


def _check(groups: Any, templates: Any, source: str) -> None:
    if not isinstance(templates, Sequence) or isinstance(templates, str) or not templates:
        raise ValueError(f"{source}: templates must be a list of at least one text with '{{}}' in it")
    for template in templates:
        if not isinstance(template, str) or template.count("{}") != 1:
            raise ValueError(f"{source}: template {template!r} must contain '{{}}' exactly once")
    if not isinstance(groups, Mapping) or not groups:
        raise ValueError(f"{source}: attributes must map at least one attribute to its descriptor groups")
    for attribute, sets in groups.items():
        where = f"{source}: attribute {attribute!r}"
        if not isinstance(attribute, str):
            raise ValueError(f"{where}: the name must be a text; put it in quotes")
        if not isinstance(sets, Sequence) or isinstance(sets, str) or not sets:
            raise ValueError(f"{where}: expected a list of groups, each a list of phrases")
        for number, phrases in enumerate(sets, start=1):
            if not isinstance(phrases, Sequence) or isinstance(phrases, str):
                raise ValueError(f"{where}, group {number}: expected a list of phrases, found {phrases!r}")
            if len(phrases) < 2:
                raise ValueError(f"{where}, group {number}: needs at least two phrases, found {len(phrases)}")
            for phrase in phrases:
                if not isinstance(phrase, str) or not phrase.strip():
                    raise ValueError(f"{where}, group {number}: {phrase!r} is not a text; put it in quotes")
            repeated = sorted({phrase for phrase in phrases if list(phrases).count(phrase) > 1})
            if repeated:
                raise ValueError(f"{where}, group {number}: repeated phrases {repeated}")
