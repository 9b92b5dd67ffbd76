"""Notebook 01: the solutions of the exercises, and the answers to the predictions."""

# %% 01.a
# In the listing of section 1 the mammals are the largest class: 13 of the 37 test images.
# A guess of 1/6 overlooks that the classes are not equally large.
guess_share = 13 / 37

# %% 01.b
# The widest image is 4.57 times as wide as high. A central square is 1 / 4.57 of it; squashing
# shortens one side 4.57 times; and padded, the image fills 1 / 4.57 of the square.
guess_resizing = (0.22, 4.57, 0.78)

# %% 01.c
# Flips alone would differ for one half. The brightness is drawn from a range, and two draws
# from it are practically never equal, so every image comes out different.
guess_changed = 1.0


# %% 01.1
# permute moves the axes without touching the numbers. Scaling comes before the conversion:
# as uint8, everything between 0 and 1 would be 0. The product is a new tensor, so the one that
# was given stays as it is; round() takes the nearest integer instead of the next lower one.
def to_picture(tensor):
    return (tensor.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


# %% 01.2
# One affine transform moves and turns at once. No flip: a mirrored 2 is no digit. Fifteen degrees
# are plenty; handwriting is not more oblique. The default fill is black, as the background is.
digit_augmentation = v2.RandomAffine(degrees=15, translate=(0.1, 0.1))


# %% 01.3
# bincount counts up to the largest label that occurs. If the last classes are missing from the
# batch, their zeros are missing, too, and the result is too short. minlength adds them.
def class_shares(labels, num_classes):
    counts = torch.bincount(labels, minlength=num_classes)
    return counts / len(labels)


# %% 01.4
# Each test image is compared with every training image, since a copy may stand anywhere.
# any() answers once for each test image, so that a copy of two images is listed once.
# (For many images one would compare hashes; health.check_folder does.)
def leaked(train_images, test_images):
    return [
        index
        for index, image in enumerate(test_images)
        if any(torch.equal(image, other) for other in train_images)
    ]


# %% 01.5
# An example; yours will differ. Always predicting "mugs" is right for 12 of 30. From the background
# alone one predicts mugs for the desk (10), keys for the door (9) and plants for the window (8): 27
# of 30. So the desk may be what a network learns: each thing is needed in other places, too.
my_photos = {
    "backgrounds": {
        "mugs": {"desk": 10, "window": 2},
        "keys": {"door": 9},
        "plants": {"window": 8, "desk": 1},
    },
    "most frequent": 0.4,
    "background only": 0.9,
    "findings": {"error": 0, "warning": 2, "note": 5},
    "next": "collect",
}
