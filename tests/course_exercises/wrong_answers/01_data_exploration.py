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


# %% 01.1: not a NumPy array
def to_picture(tensor):
    return (tensor.permute(1, 2, 0) * 255).to(torch.uint8)


# %% 01.1: instead of uint8
def to_picture(tensor):
    return (tensor.permute(1, 2, 0) * 255).numpy()


# %% 01.1: work in place
def to_picture(tensor):
    return tensor.mul_(255).to(torch.uint8).permute(1, 2, 0).numpy()


# %% 01.2: has all 5 rows
class CsvDataset(Dataset):
    def __init__(self, csv_file, split, transform=None):
        table = pd.read_csv(csv_file)
        self.classes = sorted(table["label"].unique())
        rows = table
        self.paths = [Path(csv_file).parent / file for file in rows["file"]]
        self.targets = [self.classes.index(label) for label in rows["label"]]
        self.transform = transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = load_image(self.paths[index])
        if self.transform is not None:
            image = self.transform(image)
        return image, self.targets[index]


# %% 01.2: make the list of classes from the whole table
class CsvDataset(Dataset):
    def __init__(self, csv_file, split, transform=None):
        table = pd.read_csv(csv_file)
        rows = table[table["split"] == split]
        self.classes = sorted(rows["label"].unique())
        self.paths = [Path(csv_file).parent / file for file in rows["file"]]
        self.targets = [self.classes.index(label) for label in rows["label"]]
        self.transform = transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = load_image(self.paths[index])
        if self.transform is not None:
            image = self.transform(image)
        return image, self.targets[index]


# %% 01.2: sort the class names
class CsvDataset(Dataset):
    def __init__(self, csv_file, split, transform=None):
        table = pd.read_csv(csv_file)
        self.classes = list(table["label"].unique())
        rows = table[table["split"] == split]
        self.paths = [Path(csv_file).parent / file for file in rows["file"]]
        self.targets = [self.classes.index(label) for label in rows["label"]]
        self.transform = transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = load_image(self.paths[index])
        if self.transform is not None:
            image = self.transform(image)
        return image, self.targets[index]


# %% 01.2: relative to the CSV's folder
class CsvDataset(Dataset):
    def __init__(self, csv_file, split, transform=None):
        table = pd.read_csv(csv_file)
        self.classes = sorted(table["label"].unique())
        rows = table[table["split"] == split]
        self.paths = [Path(file) for file in rows["file"]]
        self.targets = [self.classes.index(label) for label in rows["label"]]
        self.transform = transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = load_image(self.paths[index])
        if self.transform is not None:
            image = self.transform(image)
        return image, self.targets[index]


# %% 01.2: should be the class index
class CsvDataset(Dataset):
    def __init__(self, csv_file, split, transform=None):
        table = pd.read_csv(csv_file)
        self.classes = sorted(table["label"].unique())
        rows = table[table["split"] == split]
        self.paths = [Path(csv_file).parent / file for file in rows["file"]]
        self.targets = [label for label in rows["label"]]
        self.transform = transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = load_image(self.paths[index])
        if self.transform is not None:
            image = self.transform(image)
        return image, self.targets[index]


# %% 01.2: is a path: load the image
class CsvDataset(Dataset):
    def __init__(self, csv_file, split, transform=None):
        table = pd.read_csv(csv_file)
        self.classes = sorted(table["label"].unique())
        rows = table[table["split"] == split]
        self.paths = [Path(csv_file).parent / file for file in rows["file"]]
        self.targets = [self.classes.index(label) for label in rows["label"]]
        self.transform = transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = self.paths[index]
        if self.transform is not None:
            image = self.transform(image)
        return image, self.targets[index]


# %% 01.2: is not what it returns
class CsvDataset(Dataset):
    def __init__(self, csv_file, split, transform=None):
        table = pd.read_csv(csv_file)
        self.classes = sorted(table["label"].unique())
        rows = table[table["split"] == split]
        self.paths = [Path(csv_file).parent / file for file in rows["file"]]
        self.targets = [self.classes.index(label) for label in rows["label"]]
        self.transform = transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = load_image(self.paths[index])
        if self.transform is not None:
            self.transform(image)
        return image, self.targets[index]


# %% 01.2: use iloc
class CsvDataset(Dataset):
    def __init__(self, csv_file, split, transform=None):
        table = pd.read_csv(csv_file)
        self.classes = sorted(table["label"].unique())
        rows = table[table["split"] == split]
        self.paths = Path(csv_file).parent / rows["file"]
        self.targets = [self.classes.index(label) for label in rows["label"]]
        self.transform = transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = load_image(self.paths[index])
        if self.transform is not None:
            image = self.transform(image)
        return image, self.targets[index]


# %% 01.2: should be a pair
class CsvDataset(Dataset):
    def __init__(self, csv_file, split, transform=None):
        table = pd.read_csv(csv_file)
        self.classes = sorted(table["label"].unique())
        rows = table[table["split"] == split]
        self.paths = [Path(csv_file).parent / file for file in rows["file"]]
        self.targets = [self.classes.index(label) for label in rows["label"]]
        self.transform = transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = load_image(self.paths[index])
        if self.transform is not None:
            image = self.transform(image)
        return image


# %% 01.2: the split 'train' has length 2; it should have 3
class CsvDataset(Dataset):
    def __init__(self, csv_file, split, transform=None):
        table = pd.read_csv(csv_file)
        self.classes = sorted(table["label"].unique())
        rows = table[table["split"] == split]
        self.paths = [Path(csv_file).parent / file for file in rows["file"]]
        self.targets = [self.classes.index(label) for label in rows["label"]]
        self.transform = transform

    def __len__(self):
        return len(self.paths) - 1

    def __getitem__(self, index):
        image = load_image(self.paths[index])
        if self.transform is not None:
            image = self.transform(image)
        return image, self.targets[index]


# %% 01.2: is not the one in row
class CsvDataset(Dataset):
    def __init__(self, csv_file, split, transform=None):
        table = pd.read_csv(csv_file)
        self.classes = sorted(table["label"].unique())
        rows = table[table["split"] == split]
        self.paths = [Path(csv_file).parent / file for file in rows["file"]]
        self.targets = [self.classes.index(label) for label in rows["label"]]
        self.transform = transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = load_image(self.paths[-1])
        if self.transform is not None:
            image = self.transform(image)
        return image, self.targets[index]


# %% 01.2: TypeError
class CsvDataset(Dataset):
    def __init__(self, csv_file, split, transform=None):
        table = pd.read_csv(csv_file)
        self.classes = sorted(table["label"].unique())
        rows = table[table["split"] == split]
        self.paths = [Path(csv_file).parent / file for file in rows["file"]]
        self.targets = [self.classes.index(label) for label in rows["label"]]
        self.transform = transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = load_image(self.paths[index])
        image = self.transform(image)
        return image, self.targets[index]


# %% 01.3: is not random
digit_augmentation = v2.Resize((28, 28))

# %% 01.3: is mirrored
digit_augmentation = v2.Compose(
    [v2.RandomHorizontalFlip(), v2.RandomAffine(15, translate=(0.1, 0.1))]
)

# %% 01.3: rotated by more than 45 degrees
digit_augmentation = v2.RandomAffine(180, translate=(0.1, 0.1))

# %% 01.3: hardly ever rotated
digit_augmentation = v2.RandomCrop(28, padding=3)

# %% 01.3: nearly the same angle
digit_augmentation = v2.Compose([v2.RandomRotation((30, 30)), v2.RandomCrop(28, padding=2)])


# %% 01.3: hardly ever shifted
digit_augmentation = v2.RandomRotation(20)

# %% 01.3: corners are white
digit_augmentation = v2.RandomAffine(20, translate=(0.1, 0.1), fill=255)

# %% 01.3: outside the image
digit_augmentation = v2.RandomAffine(20, translate=(0.6, 0.6))

# %% 01.3: the shape must not change
digit_augmentation = v2.Compose([v2.RandomRotation(20), v2.RandomCrop(24)])

# %% 01.3: the dtype became torch.float32
digit_augmentation = v2.Compose(
    [v2.ToDtype(torch.float32, scale=True), v2.RandomAffine(15, translate=(0.1, 0.1))]
)


# %% 01.4: need not have the same index
def leaked(train_images, test_images):
    pairs = zip(train_images, test_images, strict=False)
    return [index for index, (one, two) in enumerate(pairs) if torch.equal(one, two)]


# %% 01.4: the training image's index
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


# %% 01.4: list each index once
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


# %% 01.5: is not above the baseline
def shortcut(image):
    return [np.asarray(image).std()]


# %% 01.5: get the same numbers
def shortcut(image):
    return len(image.getbands())


# %% 01.5: one to 3 are allowed
def shortcut(image):
    return np.asarray(image.resize((8, 8))).ravel()


# %% 01.5: numbers are expected
def shortcut(image):
    return [image.mode]


# %% 01.5: different numbers
def shortcut(image):
    return torch.rand(1)
