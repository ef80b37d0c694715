"""What shows a render to a person: the terminal and the notebook."""
