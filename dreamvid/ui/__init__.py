"""User interfaces: the terminal and the notebook."""
