"""Functions that are wrong on purpose: each names a mistake that people really make."""
