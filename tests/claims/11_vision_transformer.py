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
def the_base_rates_are_best(grid):
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
def without_positions_the_order_does_not_matter(effects_of_shuffling):
    """Shuffled patches change nothing without position embeddings, and cost accuracy with them."""
    assert abs(effects_of_shuffling["without"]).max() < 0.003
    assert effects_of_shuffling["with"].max() < -0.05
    assert effects_of_shuffling["with"].mean() < -0.15


@claim(after="gains")
def updates_matter_far_more_than_images(gains):
    """Three times as many updates raise accuracies by 8 points or more, images by 3 at most."""
    for network, least in (("ViT", 0.12), ("CNN", 0.08)):
        means, margins = gains[network]
        assert max(means[:2]) < 0.035
        assert min(means[2] - margins[2], means[3] - margins[3]) > 0
        assert min(means[2:]) > least


@claim(after="gains")
def the_cnn_leads_with_few_updates_and_less_with_many(results, margin, few, many, short, long):
    """In all four cases the CNN is ahead; with more updates, its lead becomes smaller."""
    leads = {corner: runs["difference"] for corner, runs in results.items()}
    assert all(lead.mean() - margin(lead) > 0 for lead in leads.values())
    for count in (few, many):
        assert leads[count, long].mean() < leads[count, short].mean() - 0.03


@claim(after="attention-test")
def attention_is_no_explanation(attention_table):
    """The most attended patch matters far less than another one; ranks are hardly correlated."""
    drops = attention_table["drop of the probability"]
    assert (drops["most attended patch"] < 0.6 * drops["largest"]).all()
    correlations = attention_table["rank correlation"].mean()
    assert abs(correlations["attention, occlusion"]) < 0.3
    assert correlations["attention, next seed"] < 0.35
    assert correlations["occlusion, next seed"] < 0.45


@claim(after="backbone")
def other_sizes_give_other_numbers_of_tokens(backbone, torch):
    """An image of 320 pixels becomes 20 * 20 + 1 tokens."""
    assert backbone.forward_features(torch.zeros(1, 3, 320, 320)).shape[1] == 401
