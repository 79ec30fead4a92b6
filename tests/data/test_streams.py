import pytest
import torch

from sat3d.data.streams import IndexLoader, PairPlan


def numbers(loader):
    return [batch.tolist() for _, batch in loader]


def test_epochs_go_on_through_the_stream():
    loader = IndexLoader(6, batch_size=4)
    assert numbers(loader) == [[0, 1, 2, 3], [4, 5]]
    assert numbers(loader) == [[6, 7, 8, 9], [10, 11]]
    held_out = IndexLoader(3, batch_size=2, endless=False)
    assert numbers(held_out) == numbers(held_out) == [[0, 1], [2]]


def test_resumes_in_mid_epoch():
    loader = IndexLoader(12, batch_size=2)
    iterator = iter(loader)
    for _ in range(2):
        next(iterator)
    resumed = IndexLoader(12, batch_size=2)
    resumed.load_state_dict(loader.state_dict())
    assert numbers(resumed) == [batch.tolist() for _, batch in iterator]


def test_a_part_of_an_epoch_is_not_gone_on_with_in_other_batches():
    loader = IndexLoader(8, batch_size=2)
    iterator = iter(loader)
    next(iterator)
    for other in (IndexLoader(8, batch_size=4), IndexLoader(8, batch_size=2, world_size=2), IndexLoader(10, 2)):
        with pytest.raises(ValueError, match=r"within an epoch .* (epoch_size=8|batch_size=2|world_size=1): go on"):
            other.load_state_dict(loader.state_dict())
    assert len(list(iterator)) == 3
    halves = [IndexLoader(8, batch_size=2, rank=rank, world_size=2) for rank in range(2)]
    for half in halves:
        half.load_state_dict(loader.state_dict())  # whole epochs are any number's
    assert sorted(number for half in halves for batch in numbers(half) for number in batch) == list(range(8, 16))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_processes_share_the_numbers_in_whole_units(world_size):
    seen = []
    for rank in range(world_size):
        loader = IndexLoader(16, 3, unit=2, rank=rank, world_size=world_size)
        mine = [number for batch in numbers(loader) for number in batch]
        assert all(mine[k] + 1 == mine[k + 1] for k in range(0, len(mine), 2))
        seen += mine
    assert sorted(seen) == list(range(16))


def test_uneven_shares_are_refused():
    with pytest.raises(ValueError, match="epoch_size=10"):
        IndexLoader(10, 2, unit=4, world_size=1)


def test_plan_passes_through_every_cell_once_and_pairs_whole_blocks():
    plan = PairPlan(3, num_codes=16, num_cameras=3, block_size=4)
    source, reference, camera, block = plan(torch.arange(2 * 12))
    cells = set()
    for visit in range(12):
        rows = slice(2 * visit, 2 * visit + 2)
        codes = sorted([*source[rows].tolist(), *reference[rows].tolist()])
        assert codes == list(range(codes[0], codes[0] + 4)) and codes[0] % 4 == 0
        assert len(set(camera[rows].tolist())) == len(set(block[rows].tolist())) == 1
        cells.add((codes[0], int(camera[rows][0])))
    assert len(cells) == 12


def test_plan_is_a_function_of_seed_and_number():
    plan = PairPlan(0, 32, 4, 8)
    together = torch.stack(plan(torch.tensor([7, 900, 3])))
    alone = torch.cat([torch.stack(PairPlan(0, 32, 4, 8)(torch.tensor([i]))) for i in (7, 900, 3)], dim=1)
    assert torch.equal(together, alone)
    assert not torch.equal(torch.stack(PairPlan(1, 32, 4, 8)(torch.arange(32))), torch.stack(plan(torch.arange(32))))


@pytest.mark.parametrize("codes, size", [(10, 4), (9, 3), (2, 4)])
def test_plan_refuses_blocks_that_do_not_fit(codes, size):
    with pytest.raises(ValueError, match="block_size"):
        PairPlan(0, codes, 2, size)
