// The colour of a track: a function of its number alone, so box, bar and card agree. Pure.

/** The number in `track-00012`. */
export function numberOf(trackId) {
  return Number(/\d+$/.exec(trackId)?.[0] ?? 0);
}

/** As `colour_of` in apps/ui/parts/palette.py, where the colours are. */
export function colourOf(number, colours) {
  return colours[number % colours.length];
}
