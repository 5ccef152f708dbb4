"""The operator's word: shown with everybody it touches, then done, then undone if it was wrong."""
