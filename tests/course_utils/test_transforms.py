"""What happens to an image before the model sees it, and how it is undone."""

import pytest
import torch
from PIL import Image

from course_utils.transforms import (
    BatchRandomCrop,
    BatchRandomHorizontalFlip,
    denormalize,
    resize_to_square,
    scale_and_normalize,
)


@pytest.mark.parametrize("mode", ["pad", "crop", "squash"])
@pytest.mark.parametrize("size", [(10, 30), (30, 10), (20, 20), (1, 70)])
def test_every_shape_becomes_a_square(mode, size):
    assert resize_to_square(16, mode)(Image.new("RGB", size)).size == (16, 16)
    assert resize_to_square(16, mode)(torch.zeros(3, *size, dtype=torch.uint8)).shape == (3, 16, 16)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="not 'stretch'"):
        resize_to_square(16, "stretch")


def test_padding_is_white_and_centered():
    padded = resize_to_square(7)(torch.zeros(1, 2, 7, dtype=torch.uint8))
    assert padded.shape == (1, 7, 7)
    assert (padded == 0).nonzero()[:, 1].unique().tolist() == [2, 3]  # two rows above, three below
    assert padded.unique().tolist() == [0, 255]


def test_padding_keeps_everything_and_cropping_does_not():
    wide = torch.full((1, 10, 40), 255, dtype=torch.uint8)
    wide[:, :, :5] = 0  # a mark at the left end
    assert resize_to_square(20, "pad")(wide).min() == 0
    assert resize_to_square(20, "squash")(wide).min() == 0
    assert resize_to_square(20, "crop")(wide).min() == 255


def test_normalize_and_back():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (4, 3, 5, 6), dtype=torch.uint8)
    mean, std = torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.2, 0.3, 0.4])
    batch = scale_and_normalize(mean, std)(images)
    by_hand = (images / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    torch.testing.assert_close(batch, by_hand)
    torch.testing.assert_close(scale_and_normalize(mean, std)(images[0]), by_hand[0])
    torch.testing.assert_close(denormalize(batch, mean, std), images / 255)
    torch.testing.assert_close(denormalize(batch[0], mean, std), images[0] / 255)
    drawn = denormalize(torch.tensor([[[-9.0, 9.0]]]), torch.tensor([0.5]), torch.tensor([0.5]))
    assert drawn.flatten().tolist() == [0.0, 1.0]  # nothing that cannot be drawn


class TestBatches:
    """Transforms that sample for each image of a batch."""

    marked = torch.arange(12, dtype=torch.uint8).reshape(1, 1, 3, 4).repeat(400, 2, 1, 1)

    def test_images_are_flipped_with_the_given_probability(self):
        torch.manual_seed(0)
        for p in (0.0, 0.2, 1.0):
            batch = BatchRandomHorizontalFlip(p)(self.marked)
            flipped = (batch == self.marked.flip(3)).flatten(1).all(dim=1)
            same = (batch == self.marked).flatten(1).all(dim=1)
            assert (flipped ^ same).all()  # whole images, all channels alike
            assert flipped.float().mean() == pytest.approx(p, abs=0.08 if 0 < p < 1 else 0)

    def test_the_given_images_are_unchanged(self):
        before = self.marked.clone()
        for transform in (BatchRandomHorizontalFlip(1.0), BatchRandomCrop(3, padding=1)):
            transform(self.marked)
            assert torch.equal(self.marked, before)

    def test_every_crop_is_about_equally_frequent(self):
        torch.manual_seed(0)
        squares = BatchRandomCrop(2)(self.marked)
        assert squares.shape == (400, 2, 2, 2)
        corners, counts = squares[:, 0, 0, 0].unique(return_counts=True)
        assert corners.tolist() == [0, 1, 2, 4, 5, 6]  # two rows and three columns to start at
        assert 40 < counts.min() and counts.max() < 100
        for square in squares:
            start = int(square[0, 0, 0])
            assert square[1].flatten().tolist() == [start, start + 1, start + 4, start + 5]

    def test_padding_reflects_the_border(self):
        torch.manual_seed(0)
        images = torch.arange(9, dtype=torch.uint8).reshape(1, 1, 3, 3).repeat(200, 1, 1, 1)
        squares = BatchRandomCrop(3, padding=1)(images)
        assert squares.shape == images.shape
        assert squares[:, 0, 0, 0].unique().tolist() == [0, 1, 3, 4]
        assert [[4, 3, 4], [1, 0, 1], [4, 3, 4]] in squares[:, 0].tolist()
        assert [[0, 1, 2], [3, 4, 5], [6, 7, 8]] in squares[:, 0].tolist()
