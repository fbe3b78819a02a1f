"""Every tolerance the tests use, each derived in a comment."""

# metrics: a few dozen float64 operations on numbers of order one, each within 1.1e-16 relative.
EXACT_ARITHMETIC = 1e-12
