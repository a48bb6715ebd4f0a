// Figures in the reader's locale. Pure.

const STEPS = [["gigabyte", 1e9], ["megabyte", 1e6], ["kilobyte", 1e3]];

function unit(value, name, digits = 0) {
  return new Intl.NumberFormat(undefined, {
    style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: digits,
  }).format(value);
}

export function bytes(count) {
  const [name, step] = STEPS.find(([, least]) => count >= least) ?? ["byte", 1];
  return unit(count / step, name, count / step < 100 && step > 1e3 ? 1 : 0);
}

export function percent(share) {
  return new Intl.NumberFormat(undefined, { style: "percent" }).format(Math.floor(100 * share) / 100);
}

/** A stretch of time in one unit, as "3 min". */
export function stretch(seconds) {
  if (seconds < 60) return unit(Math.max(1, Math.round(seconds)), "second");
  if (seconds < 5400) return unit(Math.round(seconds / 60), "minute");
  return unit(seconds / 3600, "hour", 1);
}

/** How fast something grows, over the last seconds. */
export class Speed {
  #samples = [];

  note(value, now = performance.now()) {
    this.#samples.push([now, value]);
    while (this.#samples.length > 2 && now - this.#samples[0][0] > 8000) this.#samples.shift();
  }

  forget() {
    this.#samples = [];
  }

  /** A second; null while nothing can be said. */
  get perSecond() {
    if (this.#samples.length < 2) return null;
    const [[begin, first], [end, last]] = [this.#samples[0], this.#samples.at(-1)];
    return end - begin < 500 || last <= first ? null : (1000 * (last - first)) / (end - begin);
  }
}
