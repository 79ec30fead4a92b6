import pytest
import torch
from torch.nn.functional import binary_cross_entropy, cross_entropy

from sat3d.pretraining.attribute_loss import AttributeLoss
from sat3d.pretraining.truth import Grader


@pytest.fixture
def setting(pictures, world):
    truth = Grader(world)(pictures.batch(range(40)))
    loss = AttributeLoss(world)
    logits = torch.randn(40, loss.columns, generator=torch.Generator().manual_seed(0), requires_grad=True)
    return world, truth, loss, logits


def columns(world):
    start = 0
    for attribute in world.attributes:
        width = 1 if attribute.kind == "continuous" else len(attribute.classes)
        yield attribute, slice(start, start + width)
        start += width


def test_loss_is_the_mean_over_what_shows(setting):
    world, truth, loss, logits = setting
    means = []
    for column, (attribute, part) in enumerate(columns(world)):
        each = []
        for row in range(40):
            if not truth.shows[row, column]:
                continue
            if attribute.kind == "continuous":
                each.append(binary_cross_entropy(logits[row, part].sigmoid()[0], truth.values[row, column]))
            else:
                each.append(cross_entropy(logits[row, part], truth.values[row, column].long()))
        means.append(torch.stack(each).mean())
    torch.testing.assert_close(loss(logits, truth), torch.stack(means).mean())


def test_what_does_not_show_teaches_nothing(setting):
    world, truth, loss, logits = setting
    loss(logits, truth).backward()
    for column, (_, part) in enumerate(columns(world)):
        hidden = ~truth.shows[:, column]
        assert logits.grad[hidden, part].abs().sum() == 0
        assert logits.grad[~hidden, part].abs().sum() > 0
