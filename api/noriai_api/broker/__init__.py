"""The broker's desk (交通商社機能): unmet demand that belongs together, and the idle vehicles that could serve it."""
