"""Notebook 05: typical wrong answers, each with a part of the hint that it gets."""


# %% 05.1: This is the recall
def specificity(matrix, label):
    return matrix[label, label] / matrix[label].sum()


# %% 05.1: This is the precision
def specificity(matrix, label):
    return matrix[label, label] / matrix[:, label].sum()


# %% 05.1: the share that WAS called by the name
def specificity(matrix, label):
    others = matrix.sum() - matrix[label].sum()
    return (matrix[:, label].sum() - matrix[label, label]) / others


# %% 05.1: only those of the others that got their own name
def specificity(matrix, label):
    others = matrix.sum() - matrix[label].sum()
    return (np.trace(matrix) - matrix[label, label]) / others


# %% 05.1: also images of the class itself
def specificity(matrix, label):
    others = matrix.sum() - matrix[label].sum()
    return (others - matrix[:, label].sum()) / others


# %% 05.1: You take the row
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


# %% 05.2: all numbers together
def row_percent(matrix):
    return 100 * matrix / matrix.sum()


# %% 05.2: percent are asked for
def row_percent(matrix):
    return matrix / matrix.sum(axis=1, keepdims=True)


# %% 05.2: but rounded
def row_percent(matrix):
    return 100 * matrix // matrix.sum(axis=1, keepdims=True)


# %% 05.2: Which number divides
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


# %% 05.4: never to say yes
def best_threshold(is_yes, score, cost_missed, cost_false_alarm):
    def total(line):
        missed = (is_yes & (score < line)).sum()
        return cost_missed * missed + cost_false_alarm * (~is_yes & (score >= line)).sum()

    return min(np.unique(score), key=total)


# %% 05.4: rule for calibrated probabilities
def best_threshold(is_yes, score, cost_missed, cost_false_alarm):
    return cost_false_alarm / (cost_false_alarm + cost_missed)


# %% 05.4: do you use the arguments
def best_threshold(is_yes, score, cost_missed, cost_false_alarm):
    def total(line):
        return 5 * (is_yes & (score < line)).sum() + (~is_yes & (score >= line)).sum()

    return min(np.append(np.unique(score), np.inf), key=total)


# %% 05.4: if the two costs were exchanged
def best_threshold(is_yes, score, cost_missed, cost_false_alarm):
    def total(line):
        missed = (is_yes & (score < line)).sum()
        return cost_false_alarm * missed + cost_missed * (~is_yes & (score >= line)).sum()

    return min(np.append(np.unique(score), np.inf), key=total)


# %% 05.4: is a sum of costs
def best_threshold(is_yes, score, cost_missed, cost_false_alarm):
    def total(line):
        missed = (is_yes & (score < line)).sum()
        return cost_missed * missed + cost_false_alarm * (~is_yes & (score >= line)).sum()

    return min(total(line) for line in np.append(np.unique(score), np.inf))


# %% 05.4: a place in a list
def best_threshold(is_yes, score, cost_missed, cost_false_alarm):
    def total(line):
        missed = (is_yes & (score < line)).sum()
        return cost_missed * missed + cost_false_alarm * (~is_yes & (score >= line)).sum()

    return int(np.argmin([total(line) for line in np.append(np.unique(score), np.inf)]))


# %% 05.4: a score EQUAL to the threshold
def best_threshold(is_yes, score, cost_missed, cost_false_alarm):
    def total(line):
        missed = (is_yes & (score <= line)).sum()
        return cost_missed * missed + cost_false_alarm * (~is_yes & (score > line)).sum()

    return min(np.append(-np.inf, np.unique(score)), key=total)


# %% 05.4: Do you try every score
def best_threshold(is_yes, score, cost_missed, cost_false_alarm):
    def total(line):
        missed = (is_yes & (score < line)).sum()
        return cost_missed * missed + cost_false_alarm * (~is_yes & (score >= line)).sum()

    return min(np.append(np.linspace(0, 1, 11), np.inf), key=total)


# %% 05.5: 'hardest' is missing
my_network = {"classes": ["a", "b"], "matrix": [[8, 2], [3, 7]], "verdict": "better"}

# %% 05.5: integers, not shares
my_network = {
    "classes": ["mugs", "keys"],
    "matrix": [[0.8, 0.2], [0.3, 0.7]],
    "hardest": "keys",
    "confused": ("keys", "mugs"),
    "p-value": 0.1,
    "verdict": "cannot tell",
    "next": "More pictures of keys from other sides.",
}

# %% 05.5: Divide along the rows
my_network = {
    "classes": ["mugs", "keys"],
    "matrix": [[28, 12], [2, 18]],
    "hardest": "keys",
    "confused": ("mugs", "keys"),
    "p-value": 0.36,
    "verdict": "cannot tell",
    "next": "More pictures of keys from other sides.",
}

# %% 05.5: which is true
my_network = {
    "classes": ["mugs", "keys"],
    "matrix": [[28, 12], [2, 18]],
    "hardest": "mugs",
    "confused": ("keys", "mugs"),
    "p-value": 0.36,
    "verdict": "cannot tell",
    "next": "More pictures of mugs from other sides.",
}

# %% 05.5: How many are the other way round
my_network = {
    "classes": ["mugs", "keys"],
    "matrix": [[28, 12], [2, 18]],
    "hardest": "mugs",
    "confused": ("mugs", "keys"),
    "p-value": 0.02,
    "verdict": "better",
    "next": "More pictures of mugs from other sides.",
}

# %% 05.5: chance may explain it
my_network = {
    "classes": ["mugs", "keys"],
    "matrix": [[28, 12], [2, 18]],
    "hardest": "mugs",
    "confused": ("mugs", "keys"),
    "p-value": 0.36,
    "verdict": "better",
    "next": "More pictures of mugs from other sides.",
}

# %% 05.5: cats and dogs of the example
my_network = {
    "classes": ["cat", "dog"],
    "matrix": [[7, 3], [10, 20]],
    "hardest": "dog",
    "confused": ("dog", "cat"),
    "p-value": 0.63,
    "verdict": "cannot tell",
    "next": "I would photograph dogs of more breeds, from more sides.",
}
