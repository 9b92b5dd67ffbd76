"""Claims of notebook 11. None is about a time: those depend on the machine and its load."""

from tools.claims import claim


@claim(after="patches-wrong")
def reshape_alone_gives_rows_instead_of_squares(covered, side):
    """By reshaping alone, the first "patch" covers two rows in the whole width of the image."""
    assert covered == {"permute": (7, 7), "reshape": (2, side)}


@claim(after="divisible")
def the_convolution_ignores_what_is_left_over(is_same, ignored):
    """About a third of the image can change without any effect on the embeddings."""
    assert is_same
    assert 0.3 < ignored < 0.35


@claim(after="feedback-tokens")
def a_standard_vit_has_197_tokens(standard):
    """224 / 16 = 14 patches per row, and the class token."""
    assert standard.pos_embed.shape[1] == 14 * 14 + 1


@claim(after="scaling")
def weights_depend_on_d_without_scaling(scaling):
    """With the division the weights hardly depend on d; without it, one is close to 1."""
    largest = scaling.pivot(index="d", columns="scores", values="largest weight")
    slopes = scaling.pivot(index="d", columns="scores", values="sum of derivatives")
    assert largest["divided"].max() - largest["divided"].min() < 0.05
    assert largest["not divided"][1024] > 0.9
    assert slopes["not divided"][1024] < 0.15 < 0.7 < slopes["divided"].min()


@claim(after="heads-wrong")
def permuted_tokens_reveal_the_bug(mix, tokens, order):
    """The correct order of dimensions passes the test, `view` alone fails it clearly."""

    def error(is_correct):
        permuted = mix(tokens[:, order], is_correct)
        return (permuted - mix(tokens, is_correct)[:, order]).abs().max()

    assert error(True) < 1e-4
    assert error(False) > 0.5


@claim(after="cnn")
def both_networks_have_about_equal_parameters(cnn_parameters, cnn_width, vit_parameters):
    """The numbers of parameters differ by at most 2 %."""
    assert abs(cnn_parameters[cnn_width] / vit_parameters - 1) < 0.02


@claim(after="rates")
def the_middle_of_the_grid_is_about_best(grid):
    """A quarter of the rate and four times the rate are at most a little better."""
    assert (grid.max() - grid.loc[1]).max() < 0.02


@claim(after="winner")
def the_cnn_is_ahead(by_run, margin):
    """With equal parameters, images and updates, the CNN is several points more accurate."""
    assert by_run.mean() > 0.03
    assert by_run.mean() - margin(by_run) > 0.01


@claim(after="ablation")
def positions_and_depth_matter(effects):
    """Without position embeddings, with small ones, or with one block, the ViT is worse."""
    without, small, _ = (effect["interval"] for effect in effects)
    assert without[1] < -0.04
    assert small[1] < -0.02
    assert effects[2]["difference"] < -0.02


@claim(after="shuffled")
def without_positions_the_order_does_not_matter(
    accuracy_on, without_positions, with_positions, val_loader, shuffled_loader
):
    """Shuffled patches change nothing without position embeddings, and cost accuracy with them."""
    before, after = (accuracy_on(part, without_positions) for part in (val_loader, shuffled_loader))
    assert abs(before - after) < 0.003
    before, after = (accuracy_on(part, with_positions) for part in (val_loader, shuffled_loader))
    assert before - after > 0.05  # depends on the permutation: 0.46 and 0.10 were measured


@claim(after="curves")
def more_epochs_reduce_the_difference_more_images_do_not(table):
    """The difference shrinks with images at equal epochs, and not at equal updates."""
    gaps = table.set_index(["plan", "images"])["difference"]
    assert gaps["equal epochs", 500] > gaps["equal epochs", 4500] + 0.05
    assert gaps["equal updates", 4500] > gaps["equal updates", 500] - 0.015
    assert (table["difference"] - table["margin"] > 0).all()


@claim(after="curves")
def the_number_of_updates_limits_the_transformer(table):
    """More images change little at equal updates; at equal epochs the ViT gains far more."""
    vit, cnn = (table.set_index(["plan", "images"])[name] for name in ("ViT", "CNN"))
    for accuracy in (vit, cnn):
        assert abs(accuracy["equal updates", 4500] - accuracy["equal updates", 500]) < 0.04
    gain = vit["equal epochs", 4500] - vit["equal epochs", 500]
    assert gain > 0.15
    assert gain > cnn["equal epochs", 4500] - cnn["equal epochs", 500] + 0.05


@claim(after="attention-test")
def attention_is_no_explanation(drop, attended, effects_of, rank_correlation, between):
    """The most attended patch matters far less than another one; ranks are hardly correlated."""
    most, largest = drop(attended.argmax(dim=1)), drop(effects_of.argmax(dim=1))
    assert effects_of.mean() < most < 0.6 * largest
    assert abs(rank_correlation(attended, effects_of)) < 0.3
    assert between < 0.3


@claim(after="backbone")
def other_sizes_give_other_numbers_of_tokens(backbone, torch):
    """An image of 320 pixels becomes 20 * 20 + 1 tokens."""
    assert backbone.forward_features(torch.zeros(1, 3, 320, 320)).shape[1] == 401
