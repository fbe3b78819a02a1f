"""Labelled images: one table whatever the layout, a split that does not leak, and prepared pixels."""
