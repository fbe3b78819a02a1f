"""The pages of a run: what was made, how good it is, what it lost on the way and how that is known."""
