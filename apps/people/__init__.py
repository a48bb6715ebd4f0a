"""Who is in an episode, as people have corrected it: the log of corrections, applied to runs."""
