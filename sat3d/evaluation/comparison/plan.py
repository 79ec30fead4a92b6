"""What a comparison is of: its plan, and the runs that take part."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from sat3d.data import StyleCodeDataModule
from sat3d.evaluation.comparison.eyes import Eyes
from sat3d.evaluation.comparison.protocol import MatchedProtocol, Rules
from sat3d.evaluation.contestants import Contestant
from sat3d.evaluation.roster import find_run, labels_of, slug
from sat3d.generators import load_generator
from sat3d.methods import load_editor
from sat3d.perception import IdentityEmbedder, PartParser, Scorer, load_observer, load_perceptual
from sat3d.world import known_world


@dataclass(frozen=True)
class Plan:
    """Say on what methods are compared, and by whose eyes.

    Args:
        generator: name or file.
        attributes: what is edited, as the labeller names it.
        labeller: attribute predictor that chooses strengths.
        judge: attribute predictor that grades.
        identity: identity embedder, or `None`.
        perceptual: `lpips`, or an observer whose activations serve; or `None`.
        parser: part parser, or `None`.
        parts: for each attribute the parser's parts in which it shows; the embedded world's own if not given.
        world: compare with the embedded world's ideal edits.
        codes: how many of the test stream.
        references: how many of the validation stream.
        order: codes on which the order of two edits is tried.
        truth: codes on which measures are held against the world's truth.
        clip: text-image model that is asked there, too; or `None`.
        truncation: ψ.
        yaw: camera range in radians.
        pitch: the same.
        other_yaw: how far to the other side the second camera stands, radians.
        seed: of the streams.
        rules: of the search for strengths.
    """

    generator: str
    attributes: tuple[str, ...]
    labeller: str
    judge: str
    identity: str | None = None
    perceptual: str | None = None
    parser: str | None = None
    parts: Mapping[str, Sequence[str]] | None = None
    world: bool = False
    codes: int = 100
    references: int = 200
    order: int = 24
    truth: int = 24
    clip: str | None = None
    truncation: float = 1.0
    yaw: tuple[float, float] | None = (-0.35, 0.35)
    pitch: tuple[float, float] | None = (-0.25, 0.25)
    other_yaw: float = 0.3
    seed: int = 0
    rules: Rules = field(default_factory=Rules)

    def fingerprint(self) -> str:
        """Return a hash of what results depend on, the weights of generator and observers among it."""
        net = load_generator(self.generator)
        told = {"plan": asdict(self), "generator": net.hash, "eyes": self.hashes()}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    def hashes(self) -> dict[str, str]:
        """Return the hashes of the observers, by role."""
        named = {role: getattr(self, role) for role in ("labeller", "judge", "identity", "parser")}
        found = {role: load_observer(name).hash for role, name in named.items() if name is not None}
        if self.perceptual is not None:
            network = load_perceptual(self.perceptual)
            found["perceptual"] = getattr(getattr(network, "observer", None), "hash", network.hash)
        return found

    def protocol(self, device: torch.device | str = "cpu") -> MatchedProtocol:
        """Load the networks and look at the unedited codes.

        Raises:
            ValueError: for observers of the wrong kind, or attributes that they do not know.
        """
        net = load_generator(self.generator).to(device)
        labeller, judge = (_observer(role, getattr(self, role), Scorer, device) for role in ("labeller", "judge"))
        identity = None if self.identity is None else _observer("identity", self.identity, IdentityEmbedder, device)
        parser = None if self.parser is None else _observer("parser", self.parser, PartParser, device)
        perceptual = None if self.perceptual is None else load_perceptual(self.perceptual).to(device)
        world = known_world(net.name) if self.world else None
        parts = self.parts
        if parts is None:
            parts = {a.name: a.parts for a in world.attributes} if world is not None else {}
        data = StyleCodeDataModule(
            self.generator, seed=self.seed, truncation=self.truncation, yaw=self.yaw, pitch=self.pitch
        )
        codes = data.codes("test", range(self.codes), device)
        other = None
        if data.cameras is not None and codes.camera is not None:
            other = data.cameras.second(codes.camera, self.other_yaw).to(device)
        eyes = Eyes(labeller, judge, identity, perceptual, parser, parts, world)
        return MatchedProtocol(net, codes, data.codes("val", range(self.references), device), eyes, other, self.rules)


def _observer(role: str, name: str, kind: type[Any], device: torch.device | str) -> Any:
    found = load_observer(name).to(device)
    if not isinstance(found, kind):
        raise ValueError(f"{role}={name!r} is no {kind.__name__}")
    return found


class Entry(NamedTuple):
    """Name a run that takes part."""

    method: str
    seed: int
    run: Path

    @property
    def place(self) -> str:
        """Its folder among the units of work."""
        return f"{slug(self.method)}/{self.seed}"


def contestant_of(entry: Entry, plan: Plan, device: torch.device | str) -> Contestant:
    """Load a run's editor, and what it needs to know of codes."""
    net = load_generator(plan.generator).to(device)
    editor = load_editor(find_run(entry.run).editor, net).to(device)
    labelled = labels_of(find_run(entry.run).run)
    if labelled is not None and labelled[1] != load_observer(plan.labeller).hash:
        raise ValueError(
            f"labeller={plan.labeller!r}: {entry.method} was trained on labels of another, which must read its codes"
        )
    return Contestant(entry.method, str(entry.seed), editor, labels=None if labelled is None else labelled[0])
