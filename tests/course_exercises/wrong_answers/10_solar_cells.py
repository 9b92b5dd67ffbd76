"""Notebook 10: wrong answers, each with words of the hint that it must get."""


# %% 10.1: it should have 50 %
def balanced_folds(targets, seed=0):
    splitter = StratifiedKFold(4, shuffle=True, random_state=seed)
    return list(splitter.split(targets, targets))


# %% 10.1: cells are in the training and the test set
def balanced_folds(targets, seed=0):
    splitter = StratifiedKFold(4, shuffle=True, random_state=seed)
    everything = np.concatenate([np.flatnonzero(targets), np.flatnonzero(~targets)])
    return [(everything, test) for _, test in splitter.split(targets, targets)]


# %% 10.1: repeat training cells only
def balanced_folds(targets, seed=0):
    splitter = StratifiedKFold(4, shuffle=True, random_state=seed)
    return [(a, np.concatenate([b, b])) for a, b in splitter.split(targets, targets)]


# %% 10.1: cells are missing in the training set
def balanced_folds(targets, seed=0):
    splitter = StratifiedKFold(4, shuffle=True, random_state=seed)
    folds = []
    for train, test in splitter.split(targets, targets):
        count = min(targets[train].sum(), (~targets[train]).sum())
        parts = [train[targets[train] == value][:count] for value in (True, False)]
        folds.append((np.concatenate(parts), test))
    return folds


# %% 10.2: the factor 1.96 is missing
def cells_needed(accuracy, reference):
    return math.ceil(accuracy * (1 - accuracy) / (accuracy - reference) ** 2)


# %% 10.2: round up
def cells_needed(accuracy, reference):
    if accuracy == reference:
        return math.inf
    return int(1.96**2 * accuracy * (1 - accuracy) / (accuracy - reference) ** 2)


# %% 10.2: the interval is around the accuracy
def cells_needed(accuracy, reference):
    return math.ceil(1.96**2 * reference * (1 - reference) / (accuracy - reference) ** 2)


# %% 10.2: this is the root of n
def cells_needed(accuracy, reference):
    return 1.96 * (accuracy * (1 - accuracy)) ** 0.5 / abs(accuracy - reference)


# %% 10.2: return math.inf
def cells_needed(accuracy, reference):
    gap = max(abs(accuracy - reference), 1e-9)
    return math.ceil(1.96**2 * accuracy * (1 - accuracy) / gap**2)


# %% 10.3: these are odds
def at_prevalence(p, old, new):
    return p / (1 - p) * (new / (1 - new)) / (old / (1 - old))


# %% 10.3: not the probabilities
def at_prevalence(p, old, new):
    return p * new / old


# %% 10.3: old and new are exchanged
def at_prevalence(p, old, new):
    odds = p / (1 - p) * (old / (1 - old)) / (new / (1 - new))
    return odds / (1 + odds)


# %% 10.4: "difference" should be
my_report = {
    "changed": "epochs",
    "cells": 2624,
    "only new correct": 72,
    "only old correct": 60,
    "difference": 0.012,
    "p": 0.34,
    "conclusion": "undecided",
}


# %% 10.4: does not fit the numbers
my_report = {
    "changed": "epochs",
    "cells": 2624,
    "only new correct": 72,
    "only old correct": 60,
    "difference": 0.0046,
    "p": 0.34,
    "conclusion": "better",
}


# %% 10.4: "p" should be 0.002
my_report = {
    "changed": "epochs",
    "cells": 2624,
    "only new correct": 60,
    "only old correct": 30,
    "difference": 0.0114,
    "p": 0.2,
    "conclusion": "undecided",
}
