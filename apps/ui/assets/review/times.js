// Seconds as people read them, in the numbers of the reader's language. Pure.

const formats = new Map();

function digits(locale, options) {
  const key = `${locale} ${JSON.stringify(options)}`;
  if (!formats.has(key)) {
    formats.set(key, new Intl.NumberFormat(locale, { useGrouping: false, ...options }));
  }
  return formats.get(key);
}

/** A number with so many decimals; a dash for none. `locale`: undefined for the reader's. */
export function decimals(value, places, locale) {
  if (value === null || value === undefined) return "–";
  return digits(locale, { minimumFractionDigits: places, maximumFractionDigits: places }).format(value);
}

/** `1:02:03.5`: hours only where there are some. `places`: decimals of the seconds. */
export function clock(seconds, places = 1, locale = undefined) {
  const scale = 10 ** places;
  const whole = Math.max(0, Math.round(seconds * scale)); // 59.96 is 1:00.0
  const rest = whole % (60 * scale);
  const minutes = (whole - rest) / (60 * scale);
  const tail = digits(locale, {
    minimumIntegerDigits: 2, minimumFractionDigits: places, maximumFractionDigits: places,
  }).format(rest / scale);
  const plain = digits(locale, { maximumFractionDigits: 0 });
  if (minutes < 60) return `${plain.format(minutes)}:${tail}`;
  const two = digits(locale, { minimumIntegerDigits: 2, maximumFractionDigits: 0 });
  return `${plain.format(Math.floor(minutes / 60))}:${two.format(minutes % 60)}:${tail}`;
}

/** `12.3 ± 0.4 s`; a dash where it was not measured. */
export function onScreen(seconds, error, locale = undefined) {
  if (seconds === null || seconds === undefined) return "–";
  const places = Math.max(seconds, error ?? 0) < 100 ? 1 : 0;
  const known = decimals(seconds, places, locale);
  return error === null || error === undefined
    ? `${known} s`
    : `${known} ± ${decimals(error, places, locale)} s`;
}

const STEPS = [
  0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18000, 36000,
];

/** Distances, in seconds, of the ruler's words and of the small ticks between them. */
export function rulerSteps(secondsPerPixel, wordPixels = 76, tickPixels = 8) {
  const wide = (pixels) => STEPS.findIndex((step) => step >= pixels * secondsPerPixel);
  const last = STEPS.length - 1;
  const word = wide(wordPixels) < 0 ? last : wide(wordPixels);
  let tick = wide(tickPixels) < 0 ? last : wide(tickPixels);
  const divides = (one) => Math.abs(STEPS[word] / STEPS[one] - Math.round(STEPS[word] / STEPS[one])) < 1e-9;
  while (tick < word && !divides(tick)) tick += 1;
  return { word: STEPS[word], tick: STEPS[tick], places: STEPS[word] >= 1 ? 0 : STEPS[word] >= 0.1 ? 1 : 2 };
}

/** Seconds of `83`, `1:23`, `1:23.5` or `1:02:03`; null where it is none. */
export function parseClock(text) {
  const parts = text.trim().replace(",", ".").split(":");
  if (parts.length > 3 || !parts.every((part, i) => (i === parts.length - 1 ? /^\d+(\.\d*)?$/ : /^\d+$/).test(part))) {
    return null;
  }
  return parts.reduce((seconds, part) => 60 * seconds + Number(part), 0);
}

/** `2,300`, as the reader writes it. */
export function counted(number, locale = undefined) {
  return new Intl.NumberFormat(locale).format(number);
}

/** A part of a whole: `71 %`, `0.4 %`; a dash where none is known. */
export function percent(share, locale = undefined) {
  if (share === null || !Number.isFinite(share)) return "–";
  const places = share < 0.0995 ? 1 : 0;
  return new Intl.NumberFormat(locale, {
    style: "percent", minimumFractionDigits: places, maximumFractionDigits: places,
  }).format(share);
}
