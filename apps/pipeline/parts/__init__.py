"""A run in parts: frames are analysed part by part, by whoever has time, and tracked as a whole."""
