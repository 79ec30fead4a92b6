import torch

from sat3d.metrics import TopRows


def ranked(values, index, keep):
    """Sort by value, falling, then by number: plain Python."""
    columns = [sorted(zip((-v).tolist(), index.tolist(), strict=True))[:keep] for v in values.T]
    return [[i for _, i in column] for column in columns]


def test_keeps_the_highest_rows_however_they_come():
    rng = torch.Generator().manual_seed(0)
    values = torch.randint(6, (40, 3), generator=rng).float()  # many equal ones
    index = torch.randperm(1000, generator=rng)[:40]
    whole, cut = TopRows(3, 7), TopRows(3, 7)
    whole.update(values, index)
    for part in (slice(30, 40), slice(0, 3), slice(3, 3), slice(3, 30)):
        cut.update(values[part], index[part])
    assert whole.compute().rows.tolist() == cut.compute().rows.tolist() == ranked(values, index, 7)
    torch.testing.assert_close(cut.compute().values, values.double().topk(7, dim=0).values.T)


def test_fewer_rows_than_places():
    top = TopRows(2, 4)
    top.update(torch.tensor([[1.0, 5.0], [2.0, 4.0]]), torch.tensor([8, 9]))
    assert top.compute().rows.tolist() == [[9, 8, -1, -1], [8, 9, -1, -1]]
    assert top.compute().values[0].tolist() == [2.0, 1.0, -torch.inf, -torch.inf]


def test_what_is_no_number_is_never_kept():
    top = TopRows(1, 3)
    top.update(torch.tensor([[torch.nan], [1.0], [-torch.inf], [2.0]]), torch.tensor([0, 1, 2, 3]))
    assert top.compute().rows.tolist() == [[3, 1, -1]]
