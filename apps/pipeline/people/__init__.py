"""From tracks to people: which faces stand for a track, and which tracks are one person's."""
