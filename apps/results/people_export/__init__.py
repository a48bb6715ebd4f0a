"""A run's people for other programs: tables, timelines of editing programs, WebVTT."""
