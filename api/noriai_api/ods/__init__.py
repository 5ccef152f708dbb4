"""Japan's ODS profile (Ouranos Ecosystem) at the door: its headers and errors over the same routes and decisions."""
