"""Notebook 01: wrong answers, each with words of the hint that it must get."""


# %% 01.1: in the wrong places
def to_picture(tensor):
    channels, height, width = tensor.shape
    return (tensor.reshape(height, width, channels) * 255).to(torch.uint8).numpy()


# %% 01.1: which step comes first
def to_picture(tensor):
    return tensor.permute(1, 2, 0).to(torch.uint8).numpy() * 255


# %% 01.1: became 0 instead of 255
def to_picture(tensor):
    return (tensor.permute(1, 2, 0) * 256).numpy().astype(np.int64).astype(np.uint8)


# %% 01.1: which axis goes where
def to_picture(tensor):
    return (tensor.permute(2, 1, 0) * 255).to(torch.uint8).numpy()


# %% 01.1: Pillow takes NumPy arrays
def to_picture(tensor):
    return (tensor.permute(1, 2, 0) * 255).to(torch.uint8)


# %% 01.1: instead of uint8
def to_picture(tensor):
    return (tensor.permute(1, 2, 0) * 255).numpy()


# %% 01.1: work in place
def to_picture(tensor):
    return tensor.mul_(255).to(torch.uint8).permute(1, 2, 0).numpy()


# %% 01.2: nothing is random
digit_augmentation = v2.Resize((28, 28))

# %% 01.2: is mirrored
digit_augmentation = v2.Compose(
    [v2.RandomHorizontalFlip(), v2.RandomAffine(15, translate=(0.1, 0.1))]
)

# %% 01.2: turned by more than 45 degrees
digit_augmentation = v2.RandomAffine(180, translate=(0.1, 0.1))

# %% 01.2: hardly ever turns
digit_augmentation = v2.RandomCrop(28, padding=3)

# %% 01.2: hardly ever moves
digit_augmentation = v2.RandomRotation(20)

# %% 01.2: white corners
digit_augmentation = v2.RandomAffine(20, translate=(0.1, 0.1), fill=255)

# %% 01.2: left the picture
digit_augmentation = v2.RandomAffine(20, translate=(0.6, 0.6))

# %% 01.2: the shape must stay
digit_augmentation = v2.Compose([v2.RandomRotation(20), v2.RandomCrop(24)])

# %% 01.2: the type became torch.float32
digit_augmentation = v2.Compose(
    [v2.ToDtype(torch.float32, scale=True), v2.RandomAffine(15, translate=(0.1, 0.1))]
)


# %% 01.3: these are counts
def class_shares(labels, num_classes):
    return torch.bincount(labels, minlength=num_classes)


# %% 01.3: divided by what
def class_shares(labels, num_classes):
    return torch.bincount(labels, minlength=num_classes) / num_classes


# %% 01.3: there are 6 shares
def class_shares(labels, num_classes):
    return torch.bincount(labels, minlength=6) / len(labels)


# %% 01.3: there are 2 shares
def class_shares(labels, num_classes):
    values, counts = labels.unique(return_counts=True)
    return counts / len(labels)


# %% 01.3: the shares should be
def class_shares(labels, num_classes):
    values, counts = labels.unique(return_counts=True)
    shares = torch.zeros(num_classes)
    shares[: len(counts)] = counts / len(labels)
    return shares


# %% 01.4: need not have the same index
def leaked(train_images, test_images):
    pairs = zip(train_images, test_images, strict=False)
    return [index for index, (one, two) in enumerate(pairs) if torch.equal(one, two)]


# %% 01.4: this is the training image's index
def leaked(train_images, test_images):
    return [
        index
        for index, image in enumerate(train_images)
        if any(torch.equal(image, other) for other in test_images)
    ]


# %% 01.4: mirrored
def leaked(train_images, test_images):
    means = train_images.float().mean(dim=(1, 2, 3))
    return [
        index
        for index, image in enumerate(test_images)
        if ((means - image.float().mean()).abs() < 1e-3).any()
    ]


# %% 01.4: a few pixels by chance
def leaked(train_images, test_images):
    return [
        index
        for index, image in enumerate(test_images)
        if any((image == other).any() for other in train_images)
    ]


# %% 01.4: all pixels must agree
def leaked(train_images, test_images):
    return [
        index
        for index, image in enumerate(test_images)
        if any((image.float() - other.float()).abs().mean() < 1 for other in train_images)
    ]


# %% 01.4: each leaked image once
def leaked(train_images, test_images):
    return [
        index
        for index, image in enumerate(test_images)
        for other in train_images
        if torch.equal(image, other)
    ]


# %% 01.4: in ascending order
def leaked(train_images, test_images):
    found = {}
    for other in train_images:
        for index, image in enumerate(test_images):
            if torch.equal(image, other):
                found[index] = True
    return list(found)


# %% 01.4: a list of indices is expected
def leaked(train_images, test_images):
    return [any(torch.equal(image, other) for other in train_images) for image in test_images]


# %% 01.5: count photographs of your own
my_photos = {
    "backgrounds": {"cats": {"sofa": 8, "grass": 2}, "dogs": {"sofa": 1, "grass": 9}},
    "most frequent": 0.5,
    "background only": 0.85,
    "findings": {"error": 0, "warning": 1, "note": 3},
    "next": "collect",
}

# %% 01.5: your largest class has 12 of 20
my_photos = {
    "backgrounds": {"mugs": {"desk": 10, "window": 2}, "keys": {"desk": 1, "door": 7}},
    "most frequent": 0.5,
    "background only": 0.95,
    "findings": {"error": 0, "warning": 0, "note": 0},
    "next": "collect",
}

# %% 01.5: of the photographs with desk, the best single prediction gets 10
my_photos = {
    "backgrounds": {"mugs": {"desk": 10, "window": 2}, "keys": {"desk": 1, "door": 7}},
    "most frequent": 0.6,
    "background only": 0.85,
    "findings": {"error": 0, "warning": 0, "note": 0},
    "next": "collect",
}

# %% 01.5: an error breaks or falsifies
my_photos = {
    "backgrounds": {"mugs": {"desk": 10, "window": 2}, "keys": {"desk": 1, "door": 7}},
    "most frequent": 0.6,
    "background only": 0.95,
    "findings": {"error": 1, "warning": 0, "note": 0},
    "next": "train",
}

# %% 01.5: beats the most frequent class by 0.35
my_photos = {
    "backgrounds": {"mugs": {"desk": 10, "window": 2}, "keys": {"desk": 1, "door": 7}},
    "most frequent": 0.6,
    "background only": 0.95,
    "findings": {"error": 0, "warning": 0, "note": 0},
    "next": "train",
}

# %% 01.5: has only 3 photographs
my_photos = {
    "backgrounds": {"mugs": {"desk": 10, "window": 2}, "keys": {"door": 3}},
    "most frequent": 0.8,
    "background only": 1.0,
    "findings": {"error": 0, "warning": 0, "note": 0},
    "next": "collect",
}
