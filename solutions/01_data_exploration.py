"""Solutions of notebook 01: the exercises, and the answers to the predictions."""

# %% 01.a
# The eight photographs are center-cropped to squares, which removes most of a long object. With
# padding, the same network predicts four of the five misclassified ones correctly.
guess_cause = "input"

# %% 01.b
# Values up to 255 are far outside the range of the training images, in all channels and pixels. The
# other mistakes change colors or contrast, which also vary among training images.
guess_mistake = "0 to 255"

# %% 01.c
# With flips alone, half of the images would differ. The brightness factor is sampled from a
# continuous range, and two samples are practically never equal, so every image differs.
guess_changed = 1.0


# %% 01.1
# permute reorders the axes and changes no value. Scale before you convert: as uint8, everything
# between 0 and 1 would be 0. The product is a new tensor, so the argument stays unchanged. round()
# gives the nearest integer; the conversion alone truncates.
def to_picture(tensor):
    return (tensor.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


# %% 01.2
# The classes come from the whole table, before the rows are filtered, so all splits share them.
# Lists have indices 0, 1, 2, ...; a filtered data frame keeps the index labels of its rows.
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
        return image, self.targets[index]


# %% 01.3
# One affine transform shifts and rotates. No flip: a mirrored 2 is not a digit. Handwriting varies
# by about fifteen degrees. The default fill is black, like the background.
digit_augmentation = v2.RandomAffine(degrees=15, translate=(0.1, 0.1))


# %% 01.4
# Each test image is compared with every training image, since a copy can have any index. any()
# returns one value per test image, so an image with two copies is listed once. (For many images,
# compare hashes, as health.check_folder does.)
def leaked(train_images, test_images):
    return [
        index
        for index, image in enumerate(test_images)
        if any(torch.equal(image, other) for other in train_images)
    ]


# %% 01.5
# One of many: the mean color, as differences of channels, which do not change if all channels get
# brighter by the same amount. The accuracy is about 50 %, the baseline 35 %. Converting the images
# to gray removes this shortcut. But color is also a property of fruit: only photographs from
# another source show whether it predicts the class there, too.
def shortcut(image):
    red, green, blue = np.asarray(image).mean(axis=(0, 1))
    return [red - green, green - blue]
