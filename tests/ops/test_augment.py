import torch

from sat3d.ops.augment import Augmentation


def pictures():
    random = torch.Generator().manual_seed(0)
    segmentation = torch.randint(0, 12, (4, 16, 16), generator=random, dtype=torch.uint8)
    return segmentation[:, None].float().expand(-1, 3, -1, -1) / 6 - 1, segmentation


def test_segmentation_moves_with_the_picture():
    rgb, segmentation = pictures()
    moved, parts = Augmentation(shift=3, blur=0, tint=0, noise=0)(rgb, segmentation, torch.Generator().manual_seed(1))
    assert not torch.equal(parts, segmentation)
    torch.testing.assert_close(moved, parts[:, None].float().expand(-1, 3, -1, -1) / 6 - 1)
    shifts = range(-3, 4)
    for before, after in zip(segmentation, parts, strict=True):
        inner = after[3:-3, 3:-3]
        assert any(torch.equal(inner, before[3 + y : 13 + y, 3 + x : 13 + x]) for y in shifts for x in shifts)


def test_changes_stay_within_their_sizes_and_follow_the_seed():
    flat = torch.full((64, 3, 16, 16), 0.5)
    parts = torch.zeros(64, 16, 16, dtype=torch.uint8)
    make = Augmentation(shift=2, blur=1.0, tint=0.04, noise=0.0)
    changed, _ = make(flat, parts, torch.Generator().manual_seed(2))
    assert 0.02 < (changed - flat).abs().max() <= 0.06 + 1e-6  # contrast 0.04 * 0.5 and brightness 0.04
    again, _ = make(flat, parts, torch.Generator().manual_seed(2))
    assert torch.equal(changed, again)
    noisy, _ = Augmentation(0, 0, 0, 0.1)(flat, parts, torch.Generator().manual_seed(2))
    spread = (noisy - flat).flatten(1).std(1)
    assert spread.max() < 0.11
    assert 0.035 < spread.mean() < 0.065


def test_nothing_is_changed_where_nothing_is_asked():
    rgb, segmentation = pictures()
    same, parts = Augmentation(0, 0, 0, 0)(rgb, segmentation, torch.Generator().manual_seed(3))
    assert torch.equal(same, rgb)
    assert torch.equal(parts, segmentation)


def test_pixels_stay_float32_under_mixed_precision():
    rgb, segmentation = pictures()
    with torch.autocast("cpu", torch.bfloat16):
        changed, _ = Augmentation()(rgb, segmentation, torch.Generator().manual_seed(4))
    assert changed.dtype == torch.float32
