"""Fine-tune all layers of a classifier whose head is already fitted."""

import copy
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from course_utils import training, transfer
from course_utils.image_io import load_image
from image_classifier.features import rank_and_world_size
from image_classifier.model import ImageClassifier

BATCH_SIZE = 32  # over all processes
LEARNING_RATES = [1e-3, 5e-4]  # of the head and of the backbone
Sample = tuple[str, int]  # path and class index


class _Photos(Dataset):
    """Image files that are decoded in every epoch, to limit memory."""

    def __init__(
        self, samples: Sequence[Sample], classifier: ImageClassifier, augment: bool
    ) -> None:
        # Objects look larger in random crops than in test images. Smaller crops correct this
        # (Touvron et al. 2019) and are faster.
        size = 32 * round(classifier.image_size * 0.7 / 32)
        self.samples, self.classifier, self.draft = samples, classifier, 2 * size
        bicubic = v2.InterpolationMode.BICUBIC
        crop = v2.RandomResizedCrop(size, scale=(0.4, 1.0), interpolation=bicubic)
        jitter = v2.ColorJitter(0.2, 0.2, 0.2)
        self.augment = v2.Compose([crop, v2.RandomHorizontalFlip(), jitter]) if augment else None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, target = self.samples[index]
        if self.augment is None:
            return self.classifier.load(path), target
        return F.pil_to_tensor(self.augment(load_image(path, draft=self.draft))), target


class _Logits(nn.Module):
    """Computes logits of uint8 images, without the temperature."""

    def __init__(self, classifier: ImageClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier.net(self.classifier.normalize(images))


def fine_tune(
    classifier: ImageClassifier,
    train: Sequence[Sample],
    val: Sequence[Sample],
    epochs: int,
    checkpoint: Path,
    resume: bool = False,
    seed: int = 0,
) -> tuple[pd.DataFrame, bool]:
    """Train all layers except batch norm, starting with the fitted head (Kumar et al. 2022).

    The weights of the best epoch are kept, or the initial ones if the accuracy on the validation
    set does not improve. In a process group of `torch.distributed`, gradients are averaged.

    Returns:
        The history of all epochs, and whether the accuracy improved.
    """
    transfer.freeze(classifier.net.backbone)
    transfer.unfreeze(classifier.net.backbone)
    before = copy.deepcopy(classifier.net.state_dict())
    rank, world_size = rank_and_world_size()
    checkpoint = checkpoint.with_stem(f"{checkpoint.stem}-{rank}")  # includes random states
    model: nn.Module = _Logits(classifier)
    if world_size > 1:
        model = DistributedDataParallel(model)
    photos = _Photos(train, classifier, augment=True)
    sampler = _EpochSampler(photos, world_size, rank, seed=seed)
    loader = DataLoader(photos, BATCH_SIZE // world_size, sampler=sampler)
    val_loader = DataLoader(_Photos(val, classifier, augment=False), BATCH_SIZE)
    groups = transfer.parameter_groups(classifier.net, *LEARNING_RATES)
    optimizer = torch.optim.AdamW(groups, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATES, epochs * len(loader), pct_start=0.2
    )
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)
    _, accuracy_before = training.evaluate(model, val_loader, loss_fn, amp=True)
    training.seed_everything(seed + rank)
    history = training.fit(
        model, loader, val_loader, optimizer, epochs, loss_fn=loss_fn, scheduler=schedule,
        schedule_every="batch", callbacks=[sampler, training.EarlyStopping(patience=epochs)],
        amp=True, checkpoint=checkpoint, resume=resume,
    )  # fmt: skip
    if len(history) < epochs:  # `fit` returns after Ctrl-C; the run can be resumed
        raise KeyboardInterrupt
    is_improved = history["val_accuracy"][history.best_epoch - 1] > accuracy_before
    if not is_improved:
        classifier.net.load_state_dict(before)
    return history.frame, is_improved


class _EpochSampler(DistributedSampler, training.Callback):
    """Shuffles differently in each epoch, also in a resumed run."""

    def on_train_begin(self, run: training.TrainerState) -> None:
        """Set the epoch, on which the order depends."""
        self.set_epoch(len(run.history))

    on_epoch_end = on_train_begin
