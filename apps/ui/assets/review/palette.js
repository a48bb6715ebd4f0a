// The colour of a track or person: a function of the number alone, so box, bar and card agree. Pure.

/** The number in `track-00012` or `person-0012`. */
export function numberOf(name) {
  return Number(/\d+$/.exec(name)?.[0] ?? 0);
}

/** `colours`: those of apps/ui/parts/palette.py. */
export function colourOf(number, colours) {
  return colours[number % colours.length];
}
