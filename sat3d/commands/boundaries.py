"""`boundaries`: released directions of w as an editor, once they have been seen to belong to the generator."""

from __future__ import annotations

from sat3d.commands.seeds import device_of, writable


def main(
    files: dict[str, str],
    generator: str,
    scorer: str | None = None,
    clip: str | None = None,
    clip_pretrained: str | None = None,
    descriptors: str | None = None,
    columns: dict[str, str] = {},  # noqa: B006 - never changed
    count: int = 32,
    shift: float = 3.0,
    controls: int = 30,
    truncation: float = 0.7,
    unchecked: bool = False,
    device: str = "cpu",
    out: str = "runs/boundaries",
) -> None:
    """Turn boundaries of InterFaceGAN (.npy, one unit normal each) into an editor for a generator.

    A boundary of another generator has the right shape, raises nothing and edits nothing. So every boundary is tried:
    it must move its attribute, as a scorer sees it, more than any of the random directions does.

    Args:
        files: For each attribute its file: '{smile: stylegan2_ffhq_smile.npy}'.
        generator: A name in the zoo or a file.
        scorer: Attribute predictor that looks at the edits; or
        clip: a text-image model, with descriptors.
        clip_pretrained: Its weights, where open_clip offers several.
        descriptors: Descriptor groups, a bundled name or a YAML file.
        columns: What the scorer calls an attribute, where that differs; with a minus before it, its low end.
        count: Codes on which boundaries are tried.
        shift: Standard deviations by which codes are moved there, both ways.
        controls: Random directions; a boundary that does nothing passes with probability 1 / (2 · (controls + 1)).
        truncation: ψ of the codes.
        unchecked: Write the editor without a look, or in spite of it.
        device: Where to compute.
        out: Folder for the editor.
    """
    if not files:
        raise ValueError("files: name at least one, such as '{smile: smile.npy}'")
    if not unchecked and scorer is None and clip is None:
        raise ValueError("scorer: who shall look whether they belong? Name one (or clip and descriptors), or unchecked")
    where = device_of(device)
    folder = writable(out)

    from sat3d.data import StyleCodeDataModule
    from sat3d.generators import load_generator
    from sat3d.methods.interfacegan import boundary_effects, read_boundaries
    from sat3d.perception.scorers import training_scorer

    net = load_generator(generator).to(where)
    stream = StyleCodeDataModule(generator, batch="codes", truncation=truncation, yaw=None, pitch=None)
    editor = read_boundaries(files, net, stream.codes("train", range(1000), where))
    effects = {}
    if scorer is not None or clip is not None:
        looks = training_scorer(clip, clip_pretrained, descriptors, None, scorer).to(where)
        codes = stream.codes("val", range(count), where)
        effects = boundary_effects(editor, columns, net, looks, codes, shift, controls)
        for name, effect in effects.items():
            verdict = "belongs" if effect.belongs else "does NOT belong: no more than chance"
            print(f"{name}: {effect.change:+.2f} σ, random directions up to {effect.chance:.2f} σ; {verdict}")
    strange = [name for name, effect in effects.items() if not effect.belongs]
    if strange and not unchecked:
        raise ValueError(
            f"files: {', '.join(strange)} of another generator, or another attribute? On {generator!r} they do no more "
            "than random directions; --unchecked true writes them all the same"
        )
    facts = {name: effect._asdict() for name, effect in effects.items()}
    editor.save(folder, net, method="InterFaceGAN", training={"files": dict(files)}, metrics={"effects": facts})
    print(f"{folder}: editor of {', '.join(editor.attributes)}")
