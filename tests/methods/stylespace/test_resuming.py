"""What was stopped, saved or kept goes on to the same result, and nothing else is gone on with."""

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image
from torch.nn import functional as F

from sat3d.callbacks import ChannelFigures
from sat3d.methods import StyleSpaceDiscovery
from sat3d.methods.shares import spread
from sat3d.methods.stylespace import Examples
from sat3d.perception import ParsingNetwork, RegionSource
from tests.methods.stylespace.discovery import NAMES, differing, fit, module


class Colours(torch.nn.Module):
    """In the place of CLIP: a picture's mean colour, as a unit vector."""

    def encode_image(self, images):
        return F.normalize(images.mean((2, 3)) + 1e-3, dim=1)


@pytest.mark.parametrize("stop", [1, 5])
def test_a_stopped_run_goes_on_to_the_same_result(run, toys, tmp_path, stop):
    part = module(toys)
    save = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_last=True)
    fit(part, tmp_path, max_steps=stop, callbacks=[save], limit_val_batches=0)
    assert not part.is_fitted
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert set(state["state_dict"]) >= {"moments.moments", "overlap.wins", "ranking.ranking"}
    assert not any(key.startswith(("generator.", "regions.", "likeness.")) for key in state["state_dict"])
    again = module(toys)
    fit(again, tmp_path, ckpt=tmp_path / "last.ckpt")
    assert differing(run[0], again) == []


def test_clusters_are_found_once_and_kept(toys, tmp_path):
    clusters = {"regions": RegionSource(clusters=3, layer="renderer", codes=4)}
    whole = module(toys, **clusters)
    fit(whole, tmp_path)
    assert whole.region_names == ("cluster0", "cluster1", "cluster2") and whole.rate.nansum() > 0
    save = ModelCheckpoint(tmp_path / "part", every_n_train_steps=1, save_last=True)
    fit(module(toys, **clusters), tmp_path, max_steps=3, callbacks=[save], limit_val_batches=0)
    again = module(toys, **clusters, seed=1)  # would find other clusters
    fit(again, tmp_path, ckpt=tmp_path / "part" / "last.ckpt")
    assert differing(whole, again) == []
    assert torch.equal(whole.regions.centres, again.regions.centres)


def test_fitting_again_starts_without_statistics(run, toys, tmp_path):
    model = module(toys)
    fit(model, tmp_path)
    with pytest.warns(UserWarning, match="so that nothing was fitted"):
        fit(model, tmp_path, max_steps=1)
    assert not model.is_fitted
    fit(model, tmp_path)
    assert differing(run[0], model) == []


def test_a_checkpoint_of_something_else_is_refused(run, toys, tmp_path):
    _, _, trainer, _ = run
    trainer.save_checkpoint(tmp_path / "whole.ckpt")
    for changes, message in (
        ({"attributes": NAMES[::-1]}, r"attributes=\['hat/cap', '-smile', .* not of \['-smile', 'hat/cap'"),
        ({"positives": 5}, "positives=4, not of 5"),
    ):
        with pytest.raises(ValueError, match=message):
            fit(module(toys, **changes), tmp_path, ckpt=tmp_path / "whole.ckpt")


def test_a_network_of_regions_comes_back_from_a_checkpoint(toys, tmp_path):
    options = {"in_channels": 3, "out_channels": 2, "kernel_size": 1}
    network = ParsingNetwork(("a", "b"), "torch.nn.Conv2d", options, size=16)
    trainer, _ = fit(model := module(toys, regions=RegionSource(network=network)), tmp_path)
    trainer.save_checkpoint(tmp_path / "whole.ckpt")
    assert differing(model, StyleSpaceDiscovery.load_from_checkpoint(tmp_path / "whole.ckpt")) == []


def test_example_pictures_beside_a_predictor(toys, tmp_path, monkeypatch):
    monkeypatch.setattr("sat3d.methods.stylespace.module.load_clip", lambda *_: Colours())
    (tmp_path / "red").mkdir()
    for i in range(3):
        page = np.full((8, 8, 3), (150 + 30 * i, 60, 60), dtype=np.uint8)
        Image.fromarray(page).save(tmp_path / "red" / f"{i}.png")
    changes = {"clip": "colours", "examples": {"red": Examples(pictures=str(tmp_path / "red"))}, "regions": None}
    model = module(toys, **changes)
    trainer, data = fit(model, tmp_path)
    codes = data.codes("train", spread(30, 40))
    image = model.generator.synthesize(codes.styles, camera=codes.camera).image
    best = codes.index[model.likeness(image)[:, -1].topk(4).indices]
    assert model.attributes == (*NAMES, "red") and set(model.ranking.compute().rows[2].tolist()) == set(best.tolist())
    assert "likeness.directions" in dict(model.named_buffers())  # and so moves with the module

    # A fit that was complete leaves everything again, and needs no pictures any more.
    trainer.save_checkpoint(tmp_path / "whole.ckpt")
    for file in (tmp_path / "red").iterdir():
        file.unlink()
    again, figures = module(toys, **changes), ChannelFigures(candidates=2, clip_frames=0)
    fit(again, tmp_path / "again", ckpt=tmp_path / "whole.ckpt", callbacks=[figures])
    assert differing(model, again) == []
    assert (tmp_path / "again" / "channels.csv").is_file()
    assert (tmp_path / "again" / "pictures" / "strips-attributes.png").is_file()


def test_statistics_go_on_after_a_checkpoint_during_validation(toys, monkeypatch):
    monkeypatch.setattr("torchmetrics.metric.gather_all_tensors", lambda state, group=None: [state])
    model = module(toys)
    model.overlap.distributed_available_fn = lambda: True
    with torch.inference_mode():  # as Trainers validate on several GPUs
        model.on_save_checkpoint({"state_dict": {}})
    model.overlap.update(torch.rand(1, len(model.channels), 8, 8), torch.ones(1, 2, 8, 8, dtype=torch.bool))
    assert int(model.overlap.present.sum()) == 2


def test_kept_maps_are_read_again(run, toys, tmp_path):
    for _ in range(2):
        model = module(toys, maps_folder=str(tmp_path / "maps"))
        fit(model, tmp_path)
        assert differing(run[0], model) == []
    assert len(list((tmp_path / "maps").iterdir())) == 6
