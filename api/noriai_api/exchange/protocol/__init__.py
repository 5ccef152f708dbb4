"""Dataspace Protocol 2025-1: its states, its messages and their official schemas."""
