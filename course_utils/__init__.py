"""Utilities for a notebook course on image classification with PyTorch.

Importing the package itself is fast: only the modules that need torch load it.
"""
