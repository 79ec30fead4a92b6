from itertools import chain

import pytest
import torch

from sat3d.data.observed import IdentityDataModule, MixedPictures, ObserverDataModule, PairedPictures, PartnerPictures
from sat3d.data.shuffled import ShuffledLoader
from sat3d.data.world import WorldPictures
from sat3d.world import WORLDS, load_world


class Numbers:
    """In place of pictures: a batch is its numbers."""

    def __getitems__(self, indices):
        return list(indices)


def loader(fraction=0.5, **options):
    settings = {"batch_size": 4, "seed": 7, **options}
    return ShuffledLoader(
        Numbers(), torch.arange(1, 40, 2), generated=torch.tensor([100, 101, 102]), fraction=fraction, **settings
    )


def test_an_epoch_visits_each_picture_once_and_epochs_differ():
    batches = loader(fraction=0.0)
    first, second = list(batches), list(batches)
    assert len(first) == len(batches) == 5
    assert sorted(chain.from_iterable(first)) == sorted(chain.from_iterable(second)) == list(range(1, 40, 2))
    assert first != second
    assert list(loader(fraction=0.0)) == first
    assert list(loader(fraction=0.0, seed=8)) != first


def test_the_generator_gets_its_share():
    visits = list(chain.from_iterable(batch for seed in range(40) for batch in loader(seed=seed)))
    drawn = [number for number in visits if number >= 100]
    assert set(drawn) == {100, 101, 102}
    assert 0.42 < len(drawn) / len(visits) < 0.58


def test_a_stopped_loader_goes_on_within_the_epoch():
    whole = loader()
    wanted = [*whole, *whole]
    stopped = loader()
    seen = [batch for _, batch in zip(range(7), [*stopped, *stopped], strict=False)]
    resumed = loader()
    resumed.load_state_dict({"batches": 7})
    assert [*seen, *resumed] == wanted
    assert resumed.state_dict() == {"batches": 10}


def test_too_few_pictures_for_a_batch():
    with pytest.raises(ValueError, match="batch_size=21 is more than there are pictures to train on: 20"):
        loader(batch_size=21)


def test_mixed_pictures_differ_in_colours_alone(tmp_path):
    pictures = WorldPictures(tmp_path, count=4, seed=5)
    pictures.render(workers=1, progress=False)

    class Darker:
        def __len__(self):
            return 2

        def batch(self, indices):
            batch = pictures.batch(indices)
            batch.rgb.sub_(5)
            return batch

    mixed = MixedPictures(pictures, Darker())
    batch, plain = mixed.__getitems__([3, 4 + 1, 0]), pictures.batch([3, 1, 0])
    torch.testing.assert_close(batch.rgb, plain.rgb - torch.tensor([0.0, 5.0, 0.0])[:, None, None, None])
    assert torch.equal(batch.segmentation, plain.segmentation)
    assert torch.equal(batch.u, plain.u)


def test_partners_are_the_same_persons_in_another_guise(tmp_path):
    pictures = WorldPictures(tmp_path, count=6, seed=5)
    pictures.render(workers=1, progress=False)
    partners = PartnerPictures(pictures)
    partners.render(workers=1, progress=False)
    batch = PairedPictures(pictures, partners).__getitems__([0, 1, 2, 3, 4, 5])
    world = load_world("heads")
    first, second = world.values(batch.u).chunk(2)
    kept = torch.tensor([attribute.role == "identity" for attribute in world.attributes])
    torch.testing.assert_close(first[:, kept], second[:, kept], atol=2e-3, rtol=0)
    assert ((first - second).abs()[:, ~kept] > 0.01).float().mean() > 0.4
    # what the codes say is what is kept beside the pictures
    torch.testing.assert_close(world.coordinates(batch.z).float(), batch.u, atol=1e-3, rtol=0)
    yaw = batch.camera_label.chunk(2)
    assert not torch.allclose(*yaw)


@pytest.mark.parametrize("module", [ObserverDataModule, IdentityDataModule])
def test_the_generator_is_the_worlds_own_unless_another_or_none_is_named(module, tmp_path):
    drawn_by = {world: module(root=str(tmp_path), world=world).generator for world in WORLDS}
    assert drawn_by == {"heads": "toyfaces64", "animals": "toyanimals64", "cars": "toycars64"}
    assert module(root=str(tmp_path), world="cars", generator="mine.safetensors").generator == "mine.safetensors"
    alone = module(root=str(tmp_path), world="cars", generator=None, val_count=3, test_count=3)
    assert alone.generator is None and len(alone.val_dataloader()) == len(alone.test_dataloader()) == 1
    assert {pictures.world.name for pictures in (alone.train, alone.val, alone.test)} == {"cars"}
