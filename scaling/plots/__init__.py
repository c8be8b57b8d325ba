"""Plots as SVG, written by hand: axes, layers, panels, and the pictures of sweeps and fits made of them."""
