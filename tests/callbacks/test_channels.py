import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch.nn.functional import interpolate

from sat3d.callbacks import ChannelFigures
from sat3d.callbacks.channels import short
from sat3d.data import StyleCodeDataModule
from sat3d.methods import StyleSpaceDiscovery
from sat3d.perception import RegionSource
from sat3d.visualization import picture_grid, to_uint8, views
from tests.callbacks.test_callbacks import PictureLogger


@pytest.mark.parametrize("kind", ["generator", "flat"])
def test_a_fit_leaves_heat_maps_strips_and_an_orbit(toys, tmp_path, kind):
    name = getattr(toys, kind)
    model = StyleSpaceDiscovery(
        name,
        regions=RegionSource(parser=toys.parser),
        grid=8,
        pictures=3,
        minimum=0.0,
        gap=-1.0,  # every channel that a region wins once
        scorer=toys.scorer,
        attributes=["hat/cap", "-smile"],
        scored=10,
        positives=3,
    )
    data = StyleCodeDataModule(name, batch="codes", batch_size=5, epoch_size=10, val_size=2, truncation=1.0)
    logger = PictureLogger()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=logger,
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        callbacks=[ChannelFigures(strength=5.0, candidates=4, clip_frames=3)],
    )
    trainer.fit(model, datamodule=data)
    folder = tmp_path / "pictures"
    names = {"regions", "attributes", "strips-regions", "strips-attributes"}
    assert {path.stem for path in folder.glob("*.png")} == names == {key for key, _, _ in logger.seen}
    assert (folder / "orbit.mp4").is_file() == (kind == "generator")
    if kind == "generator":
        assert len(imageio.mimread(folder / "orbit.mp4")) == 3

    # The first strip of attributes, drawn by hand: least hat among four codes, moved by its best channel.
    codes = data.codes("val", range(4))
    odds = model.likeness.scorer.log_odds(model.generator.synthesize(codes.styles, camera=codes.camera).image)
    source = codes.styles[[int(odds[:, 1].argmin())]]
    editor = model.editor()
    styles = torch.cat([editor.edit(source, "hat/cap", x) for x in (-10.0, -5.0, 0.0, 5.0, 10.0)])
    camera = model.generator.cameras.frontal() if kind == "generator" else None
    row = picture_grid(views(model.generator, styles, camera)[None, :, 0])
    page = np.asarray(Image.open(folder / "strips-attributes.png"))
    side = model.generator.resolution
    first = len(page) - 2 * (side + 4)  # below the labels: two rows of pictures
    strip = page[first : first + side, -6 * (side + 4) - 4 :][:, : row.shape[1]]
    np.testing.assert_array_equal(strip[:, 4:-4], row[4:-4, 4:-4])

    # Large pictures are made smaller, one by one.
    small = ChannelFigures(strength=5.0, side=side // 4)._strip(model, [("", "hat/cap", source)], camera)
    assert small.shape[1] <= 6 * (side // 4 + 4) + 16
    expected = interpolate(views(model.generator, styles[:1], camera)[:, 0], side // 4, mode="bilinear", antialias=True)
    shown = small[-4 - side // 4 : -4, -6 * (side // 4 + 4) :][:, : side // 4]
    assert np.abs(shown.astype(int) - to_uint8(expected)[0].astype(int)).max() <= 1


def test_names_are_short():
    assert short("backbone.synthesis.b16.conv1/3") == "b16.conv1/3"
    assert short("superresolution.block0.conv0/1") == "sr.block0.conv0/1" and short("synthesis.b4.conv1") == "b4.conv1"
