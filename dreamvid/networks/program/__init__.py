"""A network on a CPU as a fixed list of operators, forward and backward: no autograd, weights packed once."""
