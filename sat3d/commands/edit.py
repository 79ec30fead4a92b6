"""`edit`: move attributes of a reference to a source, as pictures and an orbit clip."""

from __future__ import annotations

from sat3d.commands.seeds import writable


def main(
    editor: str,
    source: int,
    reference: int,
    attribute: str,
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
    """Move attributes of a reference seed to a source seed, and write pictures and an orbit clip.

    Args:
        editor: Folder that a run exported (runs/NAME/NUMBER/editor), or a checkpoint (.ckpt).
        source: Seed of the source.
        reference: Seed of the reference.
        attribute: What is moved; several joined by commas, e.g. hat,hat_colour.
        strength: Editing intensity; 0 leaves the source as it is, above 1 goes beyond the reference.
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
    if source < 0 or reference < 0:
        raise ValueError(f"source={source}, reference={reference}: seeds are numbers from 0 on")

    import torch

    from sat3d.commands.seeds import camera_of, styles_of
    from sat3d.generators import load_generator
    from sat3d.methods import MaskEditor, load_editor
    from sat3d.visualization import edit_clip, edit_grid, to_uint8, views, write_clip, write_picture

    wanted = generator or load_editor(editor).card["generator"]["name"]
    if not wanted:
        raise ValueError("generator: the editor's card names none; give its name or file")
    net = load_generator(wanted)
    tool = load_editor(editor, net)
    if threshold is not None:
        if not isinstance(tool, MaskEditor):
            raise ValueError(f"threshold: {type(tool).__name__} has no masks to cut")
        tool = tool.hard(threshold)
    camera = camera_of(net, yaw, pitch)
    with torch.no_grad():
        before, shown = styles_of(net, [source, reference], truncation).split(1)
        after = tool.edit(before, names, strength, reference=shown)
        folder = writable(out)  # everything that can be wrong has been found by now
        for name, styles in (("source", before), ("reference", shown), ("edit", after)):
            write_picture(folder / f"{name}.png", to_uint8(views(net, styles, camera)[0, 0]))
        label = f"{'+'.join(names)} {strength:g}"
        written = [write_picture(folder / "grid.png", edit_grid(net, before, shown, after, [label], camera, scale))]
        if camera is not None and frames > 0:
            written.append(write_clip(folder / "orbit.mp4", edit_clip(net, before, shown, after, frames, scale)))
    print(f"{folder}: source.png, reference.png, edit.png, " + ", ".join(path.name for path in written))
