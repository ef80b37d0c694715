"""Parts of a render that other processes and machines can do: chunks, what they leave, and the file that plans them."""
