"""Planners' tools: scenarios, synthetic demand, the simulated day, reports."""
