"""Fits of scaling laws, with intervals, residuals and a word on what the data cannot tell."""
