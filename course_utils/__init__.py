"""Helpers of a notebook course on image classification with PyTorch.

Importing the package alone is cheap: each topic is a module of its own, and torch is loaded by
those that need it.
"""

__version__ = "0.1.0"
