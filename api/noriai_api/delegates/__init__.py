"""Whom riders let book for them: family, a helper at the town hall, a program; within limits, and until they end it."""
