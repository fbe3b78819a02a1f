"""A search over students under a budget of size and latency."""
