"""Animations: movement, resampling, outpainting, paths, loops, color matching."""
