"""Every tolerance the tests use, each derived in a comment."""
