// The colour of a track: a function of its number alone, so box, bar and card agree. Pure.

/** The number in `track-00012`. */
export function numberOf(trackId) {
  return Number(/\d+$/.exec(trackId)?.[0] ?? 0);
}

/** `colours`: those of apps/ui/parts/palette.py. */
export function colourOf(number, colours) {
  return colours[number % colours.length];
}
