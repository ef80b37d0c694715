"""Convolutions in the form that is fastest on a CPU, and whole networks of them as a program without autograd."""
