"""What happens to an image before the model sees it, and the way back."""

import pytest
import torch
from PIL import Image

from course_utils.transforms import PadToSquare, denormalize, resize, to_float


@pytest.mark.parametrize("how", ["pad", "crop", "squash"])
@pytest.mark.parametrize("size", [(10, 30), (30, 10), (20, 20), (1, 7)])
def test_every_shape_becomes_a_square(how, size):
    assert resize(16, how)(Image.new("RGB", size)).size == (16, 16)
    assert resize(16, how)(Image.new("L", size)).size == (16, 16)
    assert resize(16, how)(torch.zeros(3, *size, dtype=torch.uint8)).shape == (3, 16, 16)


def test_an_unknown_way_is_refused():
    with pytest.raises(ValueError, match="not 'stretch'"):
        resize(16, "stretch")


def test_padding_is_white_and_even():
    padded = PadToSquare()(torch.zeros(1, 2, 7, dtype=torch.uint8))
    assert padded.shape == (1, 7, 7)
    assert (padded == 0).nonzero()[:, 1].unique().tolist() == [2, 3]  # two rows above, three below
    assert padded.unique().tolist() == [0, 255]


def test_padding_keeps_everything_and_cropping_does_not():
    wide = torch.full((1, 10, 40), 255, dtype=torch.uint8)
    wide[:, :, :5] = 0  # a mark at the left end
    assert resize(20, "pad")(wide).min() == 0
    assert resize(20, "squash")(wide).min() == 0
    assert resize(20, "crop")(wide).min() == 255


def test_normalise_and_back():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (4, 3, 5, 6), dtype=torch.uint8)
    mean, std = torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.2, 0.3, 0.4])
    batch = to_float(mean, std)(images)
    by_hand = (images / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    torch.testing.assert_close(batch, by_hand)
    torch.testing.assert_close(to_float(mean, std)(images[0]), by_hand[0])
    torch.testing.assert_close(denormalize(batch, mean, std), images / 255)
    torch.testing.assert_close(denormalize(batch[0], mean, std), images[0] / 255)


def test_denormalised_images_can_be_drawn():
    images = denormalize(torch.tensor([[[-9.0, 9.0]]]), torch.tensor([0.5]), torch.tensor([0.5]))
    assert images.flatten().tolist() == [0.0, 1.0]
