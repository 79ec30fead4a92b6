"""`edit`: change attributes of a source, by a reference where the editor takes one; pictures, clips and meshes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sat3d.commands.seeds import writable
from sat3d.commands.sources import CHANNELS, Align, codes_of, every_channel, made_for
from sat3d.modules import import_modules

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from trimesh import Trimesh

    from sat3d.generators import Generator
    from sat3d.inversion import PictureCodes
    from sat3d.methods import Editor
    from sat3d.ops.camera import Camera
    from sat3d.visualization import Look


@dataclass(frozen=True)
class _Edit:
    """Hold styles (1, C): before, of the reference if there is one, and after, by the share of the strength."""

    source: Tensor
    reference: Tensor | None
    edited: Callable[[float], Tensor]

    def shown(self) -> dict[str, Tensor]:
        """Name what is shown side by side."""
        shown = {"source": self.source, "reference": self.reference, "edit": self.edited(1.0)}
        return {name: styles for name, styles in shown.items() if styles is not None}


def main(
    editor: str,
    source: int | str,
    attribute: str,
    reference: int | str | None = None,
    strength: float | list[float] = 1.0,
    out: str = "out",
    generator: str | None = None,
    truncation: float = 1.0,
    threshold: float | None = None,
    yaw: float | None = None,
    pitch: float | None = None,
    frames: int = 30,
    scale: int = 2,
    clip: Literal["mp4", "gif"] = "mp4",
    mesh: Literal["ply", "obj"] | None = None,
    mesh_resolution: int = 128,
    align: Align = "auto",
    landmarks: str | None = None,
    modules: list[str] = [],  # noqa: B006 - never changed
    device: str = "cpu",
) -> None:
    """Change attributes of a source, and write pictures, clips and, if asked for, meshes.

    Editors that transfer (SAT3D) take them from a reference; others (StyleSpace) move along what they found. Source and
    reference are seeds, pictures, or codes of pictures that `sat3d invert` kept.

    Args:
        editor: Folder that a run exported (runs/NAME/NUMBER/editor), or a checkpoint (.ckpt); channels for none, to
            move single channels of --generator.
        source: Seed, picture (PNG, JPEG, …), or what `sat3d invert` kept of one: its folder or code.safetensors.
        attribute: What is changed; several joined by commas, e.g. hat,hat_colour. A channel editor also takes channels,
            as LAYER/CHANNEL.
        reference: The same, for editors that take one.
        strength: Editing intensity; 0 leaves the source as it is. 1 is the reference; for channels, one standard
            deviation (5 to 20 are usual). A list, such as [1,0.5], has one for each attribute, which are then edited
            one after the other.
        out: Folder for the files.
        generator: Name or file of the generator; the one that the editor was made for, if not given.
        truncation: Truncation ψ of seeds.
        threshold: Cut soft masks at this probability.
        yaw: Camera angle around the up axis in radians, 3-D only; a picture's own, or the view, if not given.
        pitch: Camera angle from level in radians, 3-D generators only.
        frames: Frames of a clip, 0 for none.
        scale: Enlargement of grid and clips.
        clip: Format of the clips.
        mesh: Format of meshes of source and edit, and of their difference; none if not given. 3-D generators only.
        mesh_resolution: Samples a side of the cube that meshes are made from.
        align: How faces in pictures are turned and cut: as in FFHQ, not at all, or as the generator's were (auto).
        landmarks: File with the landmarks of the pictures' faces, or folder with a file for each; found if not given.
        modules: Modules of yours to import first, where the editor is of a class of your own; looked for here, too.
        device: Where to compute, such as cpu or cuda.
    """
    import_modules(modules)
    names = [name.strip() for name in attribute.split(",") if name.strip()]
    label = _label(names, strength)
    if frames < 0 or scale < 1:
        raise ValueError(f"frames={frames}, scale={scale}: give frames from 0 on and a scale from 1 on")

    import torch

    from sat3d.commands.seeds import camera_of, device_of
    from sat3d.inversion import with_tuning
    from sat3d.visualization import edit_grid, look, need_mesh, write_picture

    net, tool = _loaded(editor, generator, threshold, device_of(device))
    _check(tool, names, reference)
    camera = camera_of(net, yaw, pitch)
    if mesh is not None:
        need_mesh(net, mesh_resolution)
    with torch.no_grad():
        read = partial(codes_of, net=net, truncation=truncation, align=align, landmarks=landmarks)
        codes = read(source)
        other = None if reference is None else read(reference, option="reference")
        edit = _edit(net, tool, names, codes, other, strength)
        net = with_tuning(net, codes.tuned)
        if codes.camera is not None and yaw is None and pitch is None:
            camera = codes.camera.to(net.device)
        shown = edit.shown()
        meshes = {} if mesh is None else _meshes(net, shown, mesh_resolution)
        folder = writable(out)  # everything that can be wrong has been found by now
        looks = {name: look(net, styles) for name, styles in shown.items()}
        written = _write_pictures(folder, net, looks, camera, scale)
        grid = edit_grid(net, edit.source, edit.reference, shown["edit"], [label], camera, scale)
        written.append(write_picture(folder / "grid.png", grid).name)
        if frames:
            track = None if camera is None else _track(net, camera, frames)
            written += _write_clips(folder, clip, net, edit, looks, track, frames, net.resolution * scale)
        if meshes:
            written += _write_meshes(folder, f".{mesh}", meshes, net, camera)
    print(f"{folder}: " + ", ".join(written))


def _loaded(
    editor: str, generator: str | None, threshold: float | None, device: torch.device
) -> tuple[Generator, Editor]:
    """Load an editor, and the generator that it was made for."""
    from sat3d.generators import load_generator
    from sat3d.methods import MaskEditor, load_editor

    if editor == CHANNELS:
        if generator is None or threshold is not None:
            raise ValueError(
                "editor=channels: moves channels of a generator, whole; give --generator and no --threshold"
            )
        net = load_generator(generator, device=device)
        return net, every_channel(net)
    net = load_generator(generator or made_for(editor), device=device)
    tool = load_editor(editor, net).to(device)
    if threshold is None:
        return net, tool
    if not isinstance(tool, MaskEditor):
        raise ValueError(f"threshold: {type(tool).__name__} has no masks to cut")
    return net, tool.hard(threshold)


def _check(tool: Editor, names: Sequence[str], reference: int | str | None) -> None:
    """Refuse what the editor cannot do, before pictures are inverted for it."""
    if tool.needs_reference != (reference is not None):
        needs = "transfers attributes: give" if tool.needs_reference else "takes no reference: leave out"
        raise ValueError(f"reference: {type(tool).__name__} {needs} --reference")
    if unknown := [name for name in names if not tool.knows(name)]:
        raise ValueError(f"attribute: unknown {', '.join(unknown)}; this editor knows {tool.known_names()}")


def _edit(
    net: Generator,
    tool: Editor,
    names: Sequence[str],
    codes: PictureCodes,
    reference: PictureCodes | None,
    strength: float | Sequence[float],
) -> _Edit:
    """Say what codes become, by the share of the strength."""
    from sat3d.methods.base import edited_styles

    def edited(share: float) -> Tensor:
        amount = share * strength if isinstance(strength, float | int) else [share * each for each in strength]
        return edited_styles(net, tool, codes, names, amount, reference=reference)

    return _Edit(codes.styles, None if reference is None else reference.styles, edited)


def _label(names: Sequence[str], strength: float | Sequence[float]) -> str:
    """Name an edit in a figure.

    Raises:
        ValueError: if there are not as many strengths as attributes.
    """
    if isinstance(strength, float | int):
        return f"{'+'.join(names)} {strength:g}"
    if len(strength) != len(names):
        raise ValueError(f"strength: {len(strength)} numbers for {len(names)} attributes; give one, or one for each")
    return ", ".join(f"{name} {each:g}" for name, each in zip(names, strength, strict=True))


def _track(net: Generator, camera: Camera, frames: int) -> Camera:
    """Return an orbit around a view."""
    assert net.cameras is not None
    yaw, pitch = camera.angles()[0].tolist()
    return net.cameras.orbit(frames, around=(yaw, pitch))


def _write_pictures(
    folder: Path, net: Generator, looks: dict[str, Look], camera: Camera | None, scale: int
) -> list[str]:
    """Write each code, and of a 3-D generator depth in colours that mean the same for all."""
    import torch

    from sat3d.visualization import coloured_depths, picture_grid, to_uint8, write_picture

    seen = {name: one(camera) for name, one in looks.items()}
    paths = [write_picture(folder / f"{name}.png", to_uint8(r.image[0])) for name, r in seen.items()]
    if camera is not None:
        depth, opacity = (torch.stack([getattr(r, part)[0] for r in seen.values()]) for part in ("depth", "opacity"))
        maps = coloured_depths(depth, opacity, shared=True)[:, 0]
        page = picture_grid(maps[None], columns=list(seen), scale=scale * max(1, net.resolution // maps.shape[1]))
        paths.append(write_picture(folder / "depth.png", page))
    return [path.name for path in paths]


def _write_clips(
    folder: Path,
    clip: str,
    net: Generator,
    edit: _Edit,
    looks: dict[str, Look],
    track: Camera | None,
    frames: int,
    side: int,
) -> list[str]:
    """Write the edit as it comes and goes, and of a 3-D generator orbits around all codes, pictures and depth."""
    from sat3d.visualization import PathClip, morph_pages, write_clip

    paths = []
    if track is not None:
        track = track.to(net.device)
        orbit = PathClip(list(looks.values()), track, side, shared=True)
        paths.append(write_clip(folder / f"orbit.{clip}", orbit.pictures()))
        paths.append(write_clip(folder / f"orbit-depth.{clip}", orbit.depths()))
    morph = morph_pages(net, edit.edited, 1.0, track, side, frames)
    paths.append(write_clip(folder / f"morph.{clip}", morph))
    return [path.name for path in paths]


def _meshes(net: Generator, shown: dict[str, Tensor], resolution: int) -> dict[str, Trimesh]:
    """Make the meshes of source and edit, at the source's level."""
    from sat3d.visualization import extract_mesh

    source, report = extract_mesh(net, shown["source"], resolution=resolution)
    edited, after = extract_mesh(net, shown["edit"], resolution=resolution, level=report.level)
    print(f"mesh of the source: {report}\nmesh of the edit: {after}")
    return {"source": source, "edit": edited}


def _write_meshes(
    folder: Path, suffix: str, meshes: dict[str, Trimesh], net: Generator, camera: Camera | None
) -> list[str]:
    """Write meshes, and what was added and taken away, on both and as a picture from the view and both sides."""
    import torch

    from sat3d.ops.camera import Camera
    from sat3d.visualization import difference_grid, geometry_difference, write_mesh, write_picture

    assert camera is not None and net.cameras is not None
    difference = geometry_difference(meshes["source"], meshes["edit"])
    print(f"difference: red is {difference.scale:.4f} world units added, blue as much taken away; white is unchanged")
    coloured = {"source-difference": difference.source, "edit-difference": difference.edited}
    paths = [write_mesh(folder / f"{name}{suffix}", mesh) for name, mesh in {**meshes, **coloured}.items()]
    sides = net.cameras.turned(torch.tensor([angle / 2 for angle in net.cameras.yaw]))
    page = difference_grid(meshes["source"], meshes["edit"], difference, Camera.cat([camera.to("cpu"), sides]))
    paths.append(write_picture(folder / "difference.png", page))
    return [path.name for path in paths]
