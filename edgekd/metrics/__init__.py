"""Figures of merit with their uncertainty; positive means malignant, called when score ≥ threshold."""
