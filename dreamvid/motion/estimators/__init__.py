"""Optical flow estimators, one file each; a file's name is the estimator's."""
