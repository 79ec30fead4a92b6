"""`edit`: change attributes of a source, by those of a reference where the editor takes one; pictures and a clip."""

from __future__ import annotations

from sat3d.commands.seeds import writable


def main(
    editor: str,
    source: int,
    attribute: str,
    reference: int | None = None,
    strength: float = 1.0,
    out: str = "out",
    generator: str | None = None,
    truncation: float = 1.0,
    threshold: float | None = None,
    yaw: float | None = None,
    pitch: float | None = None,
    frames: int = 30,
    scale: int = 2,
) -> None:
    """Change attributes of a source seed, and write pictures and an orbit clip.

    Editors that transfer (SAT3D) take them from a reference seed; others (StyleSpace) move along what they found.

    Args:
        editor: Folder that a run exported (runs/NAME/NUMBER/editor), or a checkpoint (.ckpt).
        source: Seed of the source.
        attribute: What is changed; several joined by commas, e.g. hat,hat_colour. A channel editor also takes channels,
            as LAYER/CHANNEL.
        reference: Seed of the reference, for editors that take one.
        strength: Editing intensity; 0 leaves the source as it is. 1 is the reference; for channels, one standard
            deviation (5 to 20 are usual).
        out: Folder for the files.
        generator: Name or file of the generator; the one that the editor was made for, if not given.
        truncation: Truncation ψ of both codes.
        threshold: Cut soft masks at this probability.
        yaw: Camera angle around the head in radians, 3-D generators only.
        pitch: Camera angle from level in radians, 3-D generators only.
        frames: Frames of the orbit clip, 0 for none.
        scale: Enlargement of grid and clip.
    """
    names = [name.strip() for name in attribute.split(",") if name.strip()]
    if source < 0 or (reference or 0) < 0:
        raise ValueError(f"source={source}, reference={reference}: seeds are numbers from 0 on")

    import torch

    from sat3d.commands.seeds import camera_of, ws_of
    from sat3d.generators import load_generator
    from sat3d.methods import MaskEditor, load_editor
    from sat3d.visualization import edit_clip, edit_grid, to_uint8, views, write_clip, write_picture

    wanted = generator or (load_editor(editor).card["generator"] or {}).get("name")
    if not wanted:
        raise ValueError("generator: the editor's card names none; give its name or file")
    net = load_generator(wanted)
    tool = load_editor(editor, net)
    if threshold is not None:
        if not isinstance(tool, MaskEditor):
            raise ValueError(f"threshold: {type(tool).__name__} has no masks to cut")
        tool = tool.hard(threshold)
    if tool.needs_reference != (reference is not None):
        needs = "transfers attributes: give" if tool.needs_reference else "takes no reference: leave out"
        raise ValueError(f"reference: {type(tool).__name__} {needs} --reference")
    camera = camera_of(net, yaw, pitch)
    with torch.no_grad():
        ws = ws_of(net, [source], truncation)
        before = net.styles(ws)
        shown = None if reference is None else net.styles(ws_of(net, [reference], truncation))
        if tool.space == "w":
            after = net.styles(tool.edit(ws, names, strength))
        else:
            after = tool.edit(before, names, strength, reference=shown)
        folder = writable(out)  # everything that can be wrong has been found by now
        pictures = {"source": before, "reference": shown, "edit": after}
        told = {name: styles for name, styles in pictures.items() if styles is not None}
        for name, styles in told.items():
            write_picture(folder / f"{name}.png", to_uint8(views(net, styles, camera)[0, 0]))
        label = f"{'+'.join(names)} {strength:g}"
        written = [write_picture(folder / "grid.png", edit_grid(net, before, shown, after, [label], camera, scale))]
        if camera is not None and frames > 0:
            written.append(write_clip(folder / "orbit.mp4", edit_clip(net, before, shown, after, frames, scale)))
    print(f"{folder}: " + ", ".join([*(f"{name}.png" for name in told), *(path.name for path in written)]))
