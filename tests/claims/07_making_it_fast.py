"""Claims of notebook 07. None is about a time: those depend on the machine and its load."""

from contextlib import redirect_stdout
from io import StringIO

import torch

from tools.claims import claim


@claim(after="mean-speed")
def the_mean_of_speeds_is_too_optimistic(speeds):
    """The throughput is the harmonic mean of the speeds, 200; their arithmetic mean is 765."""
    assert round(len(speeds) / (1 / speeds).sum()) == 200
    assert round(speeds.mean()) == 765


@claim(after="profiler")
def the_loader_is_the_largest_block(profile):
    """The largest self time is the loader's; convolutions are among the next."""
    largest = profile.nlargest(7, "ms per step")["operation"].tolist()
    assert "DataLoader" in largest[0]
    assert any("conv" in name for name in largest[1:])


@claim(after="random-flip")
def one_draw_per_call_or_per_image(count_flipped, counts, batch_size, v2):
    """torchvision flips all images or none; with one draw per image, about half are flipped."""
    assert count_flipped(v2.RandomHorizontalFlip()) == [0, batch_size]
    assert 0 < counts[0] < batch_size / 2 < counts[-1] < batch_size


@claim(after="stale")
def only_our_cache_sees_the_change(changed):
    """After one photograph was rotated, one image differs."""
    assert int(changed.sum()) == 1


@claim(after="finfo")
def float16_underflows():
    """Values below about 3e-8 become 0 in float16; below 6e-5 digits are lost."""
    assert torch.tensor(2.9e-8).half() == 0 < torch.tensor(3.1e-8).half()
    assert abs(torch.tensor(1e-6).half().item() / 1e-6 - 1) > 0.01
    assert abs(torch.tensor(1e-4).half().item() / 1e-4 - 1) < 0.001


@claim(after="amp-speed")
def bfloat16_changes_logits_little(error):
    """The error of mixed precision is below 5 % of the largest logit."""
    assert error < 0.05


@claim(after="graph-breaks")
def item_and_print_break_the_graph(plain, with_item, with_print):
    """No graph break in plain operations, one per .item() or print."""
    with redirect_stdout(StringIO()):  # a function prints
        breaks = [
            torch._dynamo.explain(function)(torch.ones(3)).graph_break_count
            for function in (plain, with_item, with_print)
        ]
    assert breaks[0] == 0 < min(breaks[1:])


@claim(after="batch-size-runs")
def large_batches_fall_behind(means, batch_size, large):
    """With the same rate, large batches are more than five points behind with SGD."""
    for name, margin in (("SGD", 0.05), ("AdamW", 0.03)):
        assert means.loc[(name, batch_size), 1] > means.loc[(name, large), 1] + margin


@claim(after="batch-size-runs")
def scaling_helps_a_little_and_does_not_make_up(means, batch_size, large):
    """Scaled rates are somewhat better on average; the best rate stays behind small batches."""
    gains = [
        means.loc[(name, large), rule] - means.loc[(name, large), 1]
        for name, rule in (("SGD", 4), ("AdamW", 2))
    ]
    assert 0.003 < sum(gains) / 2 < 0.04
    for name in ("SGD", "AdamW"):
        assert means.loc[(name, large)].max() < means.loc[(name, batch_size), 1] - 0.015


@claim(after="batch-size-runs")
def good_rates_form_a_plateau(means, batch_size, large):
    """The base rate is among the best for small batches, 2 or 4 times the base for large ones."""
    for name in ("SGD", "AdamW"):
        assert means.loc[(name, batch_size), 1] > means.loc[(name, batch_size)].max() - 0.005
        assert means.loc[(name, large)].idxmax() in (2, 4)
        assert abs(means.loc[(name, large), 2] - means.loc[(name, large), 4]) < 0.02


@claim(after="padding")
def the_sampler_repeats_two_images(evaluated, is_correct):
    """12 predictions for 10 images; 7 of 12 are correct instead of 5 of 10."""
    assert len(evaluated) == 12
    assert is_correct[evaluated].sum() == 7
    assert is_correct.sum() == 5
