"""Notebook 05: typical wrong answers, each with a part of the hint that it gets."""


# %% 05.1: This is the recall
def specificity(matrix, label):
    return matrix[label, label] / matrix[label].sum()


# %% 05.1: This is the precision
def specificity(matrix, label):
    return matrix[label, label] / matrix[:, label].sum()


# %% 05.1: This is the false positive rate
def specificity(matrix, label):
    others = matrix.sum() - matrix[label].sum()
    return (matrix[:, label].sum() - matrix[label, label]) / others


# %% 05.1: only the other images that are classified correctly
def specificity(matrix, label):
    others = matrix.sum() - matrix[label].sum()
    return (np.trace(matrix) - matrix[label, label]) / others


# %% 05.1: include images of the class itself
def specificity(matrix, label):
    others = matrix.sum() - matrix[label].sum()
    return (others - matrix[:, label].sum()) / others


# %% 05.1: You use the row
def specificity(matrix, label):
    others = matrix.sum() - matrix[label].sum()
    return (others - (matrix[label].sum() - matrix[label, label])) / others


# %% 05.1: You divide by all images
def specificity(matrix, label):
    others = matrix.sum() - matrix[label].sum()
    return (others - (matrix[:, label].sum() - matrix[label, label])) / matrix.sum()


# %% 05.1: should be one number
def specificity(matrix, label):
    return 1 - matrix[:, label] / matrix.sum(axis=1)


# %% 05.2: now the columns add up to 100
def row_percent(matrix):
    return 100 * matrix / matrix.sum(axis=0)


# %% 05.2: all entries together
def row_percent(matrix):
    return 100 * matrix / matrix.sum()


# %% 05.2: the rows add up to 1
def row_percent(matrix):
    return matrix / matrix.sum(axis=1, keepdims=True)


# %% 05.2: but rounded
def row_percent(matrix):
    return 100 * matrix // matrix.sum(axis=1, keepdims=True)


# %% 05.2: By which number
def row_percent(matrix):
    return 100 * matrix.T / matrix.sum(axis=1)


# %% 05.2: changes the matrix
def row_percent(matrix):
    shares = 100 * matrix / matrix.sum(axis=1, keepdims=True)
    matrix[:] = shares
    return shares


# %% 05.3: two points to each side
images_needed = 900

# %% 05.3: is still 0.0202 wide
images_needed = 3400

# %% 05.3: 100 fewer are enough
images_needed = 4000

# %% 05.3: A multiple of 100
images_needed = 3458


# %% 05.4: to flag nothing
def best_threshold(is_positive, score, cost_missed, cost_false_positive):
    def total(threshold):
        missed = (is_positive & (score < threshold)).sum()
        return (
            cost_missed * missed + cost_false_positive * (~is_positive & (score >= threshold)).sum()
        )

    return min(np.unique(score), key=total)


# %% 05.4: rule for calibrated probabilities
def best_threshold(is_positive, score, cost_missed, cost_false_positive):
    return cost_false_positive / (cost_false_positive + cost_missed)


# %% 05.4: do you use the arguments
def best_threshold(is_positive, score, cost_missed, cost_false_positive):
    def total(threshold):
        return (
            5 * (is_positive & (score < threshold)).sum()
            + (~is_positive & (score >= threshold)).sum()
        )

    return min(np.append(np.unique(score), np.inf), key=total)


# %% 05.4: if the two costs were swapped
def best_threshold(is_positive, score, cost_missed, cost_false_positive):
    def total(threshold):
        missed = (is_positive & (score < threshold)).sum()
        return (
            cost_false_positive * missed + cost_missed * (~is_positive & (score >= threshold)).sum()
        )

    return min(np.append(np.unique(score), np.inf), key=total)


# %% 05.4: is a sum of costs
def best_threshold(is_positive, score, cost_missed, cost_false_positive):
    def total(threshold):
        missed = (is_positive & (score < threshold)).sum()
        return (
            cost_missed * missed + cost_false_positive * (~is_positive & (score >= threshold)).sum()
        )

    return min(total(threshold) for threshold in np.append(np.unique(score), np.inf))


# %% 05.4: looks like an index
def best_threshold(is_positive, score, cost_missed, cost_false_positive):
    def total(threshold):
        missed = (is_positive & (score < threshold)).sum()
        return (
            cost_missed * missed + cost_false_positive * (~is_positive & (score >= threshold)).sum()
        )

    return int(np.argmin([total(threshold) for threshold in np.append(np.unique(score), np.inf)]))


# %% 05.4: a score EQUAL to the threshold
def best_threshold(is_positive, score, cost_missed, cost_false_positive):
    def total(threshold):
        missed = (is_positive & (score <= threshold)).sum()
        return (
            cost_missed * missed + cost_false_positive * (~is_positive & (score > threshold)).sum()
        )

    return min(np.append(-np.inf, np.unique(score)), key=total)


# %% 05.4: Do you try all scores
def best_threshold(is_positive, score, cost_missed, cost_false_positive):
    def total(threshold):
        missed = (is_positive & (score < threshold)).sum()
        return (
            cost_missed * missed + cost_false_positive * (~is_positive & (score >= threshold)).sum()
        )

    return min(np.append(np.linspace(0, 1, 11), np.inf), key=total)


# %% 05.5: 'costs' is missing
my_decision = {"counts": [[651, 249], [5, 95]], "verdict": "use it"}

# %% 05.5: four integers
my_decision = {
    "counts": [[0.72, 0.28], [0.05, 0.95]],
    "costs": (20, 1),
    "prevalence": 0.02,
    "precision": 0.065,
    "cost": 291,
    "without network": 400,
    "verdict": "use it",
}

# %% 05.5: cats and dogs of the example
my_decision = {
    "counts": [[20, 10], [3, 7]],
    "costs": (20, 1),
    "prevalence": 0.02,
    "precision": 0.041,
    "cost": 447,
    "without network": 400,
    "verdict": "do not use it",
}

# %% 05.5: a row without images
my_decision = {
    "counts": [[651, 249], [0, 0]],
    "costs": (20, 1),
    "prevalence": 0.02,
    "precision": 0.065,
    "cost": 291,
    "without network": 400,
    "verdict": "use it",
}

# %% 05.5: two positive numbers
my_decision = {
    "counts": [[651, 249], [5, 95]],
    "costs": (20, 0),
    "prevalence": 0.02,
    "precision": 0.065,
    "cost": 291,
    "without network": 400,
    "verdict": "use it",
}

# %% 05.5: nothing to decide
my_decision = {
    "counts": [[651, 249], [5, 95]],
    "costs": (20, 1),
    "prevalence": 0,
    "precision": 0.065,
    "cost": 291,
    "without network": 400,
    "verdict": "use it",
}

# %% 05.5: the precision of the validation images
my_decision = {
    "counts": [[651, 249], [5, 95]],
    "costs": (20, 1),
    "prevalence": 0.02,
    "precision": 0.276,
    "cost": 291,
    "without network": 400,
    "verdict": "use it",
}

# %% 05.5: is the recall
my_decision = {
    "counts": [[651, 249], [5, 95]],
    "costs": (20, 1),
    "prevalence": 0.02,
    "precision": 0.95,
    "cost": 291,
    "without network": 400,
    "verdict": "use it",
}

# %% 05.5: the share of all images that are flagged
my_decision = {
    "counts": [[651, 249], [5, 95]],
    "costs": (20, 1),
    "prevalence": 0.02,
    "precision": 0.29,
    "cost": 291,
    "without network": 400,
    "verdict": "use it",
}

# %% 05.5: of 1,000 images in use, 290.1 are flagged
my_decision = {
    "counts": [[651, 249], [5, 95]],
    "costs": (20, 1),
    "prevalence": 0.02,
    "precision": 0.5,
    "cost": 291,
    "without network": 400,
    "verdict": "use it",
}

# %% 05.5: the cost of one image
my_decision = {
    "counts": [[651, 249], [5, 95]],
    "costs": (20, 1),
    "prevalence": 0.02,
    "precision": 0.065,
    "cost": 0.291,
    "without network": 400,
    "verdict": "use it",
}

# %% 05.5: at the prevalence of your validation images
my_decision = {
    "counts": [[651, 249], [15, 85]],
    "costs": (20, 1),
    "prevalence": 0.02,
    "precision": 0.059,
    "cost": 549,
    "without network": 400,
    "verdict": "use it",
}

# %% 05.5: the two costs are swapped
my_decision = {
    "counts": [[651, 249], [5, 95]],
    "costs": (20, 1),
    "prevalence": 0.02,
    "precision": 0.065,
    "cost": 5428,
    "without network": 400,
    "verdict": "use it",
}

# %% 05.5: the total cost of the validation images
my_decision = {
    "counts": [[6510, 2490], [50, 950]],
    "costs": (20, 1),
    "prevalence": 0.02,
    "precision": 0.065,
    "cost": 3490,
    "without network": 400,
    "verdict": "use it",
}

# %% 05.5: does not follow from
my_decision = {
    "counts": [[651, 249], [5, 95]],
    "costs": (20, 1),
    "prevalence": 0.02,
    "precision": 0.065,
    "cost": 500,
    "without network": 400,
    "verdict": "use it",
}

# %% 05.5: the more expensive of the two rules
my_decision = {
    "counts": [[651, 249], [5, 95]],
    "costs": (20, 1),
    "prevalence": 0.02,
    "precision": 0.065,
    "cost": 291,
    "without network": 980,
    "verdict": "use it",
}

# %% 05.5: 291 with the network and 400 without it
my_decision = {
    "counts": [[651, 249], [5, 95]],
    "costs": (20, 1),
    "prevalence": 0.02,
    "precision": 0.065,
    "cost": 291,
    "without network": 400,
    "verdict": "do not use it",
}
