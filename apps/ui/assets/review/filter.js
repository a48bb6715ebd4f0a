// Which tracks are looked at: by seconds on the screen, confidence, size, time and sightings.

import { parseClock } from "./times.js";

/** The fields of the form that are numbers, by name, and what their number is in the columns. */
const NUMBERS = ["minScreen", "maxScreen", "minConfidence", "minHeight"];
const TIMES = ["from", "to"];

/** What is wanted where nothing is asked. `minHeight`: pixels of the video. */
export const ALL = Object.freeze({
  minScreen: null, maxScreen: null, minConfidence: null, minHeight: null, from: null, to: null, hideSingle: false,
});

/**
 * Which tracks pass, by place: 1 or 0. Null where nothing is asked. Pure.
 *
 * As `apps/results/track_filter.py`: bounds belong to what passes, and what was not measured does
 * not pass where it is asked for.
 *
 * @param review answer of `GET …/review`
 */
export function passing(review, wanted) {
  if (Object.keys(ALL).every((name) => wanted[name] === ALL[name])) return null;
  const { tracks } = review;
  const height = wanted.minHeight === null ? null : wanted.minHeight / review.height;
  const bounds = [
    [tracks.screen_s, wanted.minScreen, wanted.maxScreen],
    [tracks.confidence, wanted.minConfidence, null],
    [tracks.face_height, height, null],
    [tracks.last_s, wanted.from, null],
    [tracks.first_s, null, wanted.to],
    [tracks.sightings, wanted.hideSingle ? 2 : null, null],
  ].filter(([, least, most]) => least !== null || most !== null);
  return Uint8Array.from(tracks.id, (_, place) => Number(bounds.every(([column, least, most]) => {
    const value = column[place];
    return value !== null && (least === null || value >= least) && (most === null || value <= most);
  })));
}

export class FilterBar {
  /**
   * @param form the fields, by name
   * @param hooks { changed, range }: called with what is wanted; says which seconds are marked
   */
  constructor(form, hooks, signal) {
    Object.assign(this, { form, hooks, wanted: ALL });
    form.addEventListener("input", () => this.#read(), { signal });
    form.addEventListener("submit", (event) => event.preventDefault(), { signal });
    form.elements.all.addEventListener("click", () => this.clear(), { signal });
    form.elements.range.addEventListener("click", () => this.#takeRange(), { signal });
    this.#read();
  }

  /** Wants all tracks again. */
  clear() {
    this.form.reset();
    this.#read();
  }

  #read() {
    const { elements } = this.form;
    const wanted = { hideSingle: elements.hideSingle.checked };
    for (const name of NUMBERS) {
      const { value, validity } = elements[name];
      wanted[name] = value === "" || !validity.valid ? null : Number(value);
    }
    for (const name of TIMES) wanted[name] = parseClock(elements[name].value);
    this.wanted = wanted;
    this.#mark();
    elements.all.disabled = Object.keys(ALL).every((name) => wanted[name] === ALL[name]) && !this.problem;
    this.hooks.changed(wanted);
  }

  /** Says what cannot be read, or what nothing can pass. */
  #mark() {
    const { elements } = this.form;
    const { wanted } = this;
    const crossed = (low, high) => wanted[low] !== null && wanted[high] !== null && wanted[low] > wanted[high];
    const wrong = new Set();
    for (const name of NUMBERS) if (!elements[name].validity.valid) wrong.add(name);
    for (const name of TIMES) if (wanted[name] === null && elements[name].value.trim() !== "") wrong.add(name);
    let problem = wrong.size > 0 ? "This cannot be read: a number, or a time such as 1:23." : "";
    for (const [low, high] of [["minScreen", "maxScreen"], ["from", "to"]]) {
      if (!crossed(low, high)) continue;
      wrong.add(high);
      problem = "Nothing is between these: the first one is larger.";
    }
    for (const name of [...NUMBERS, ...TIMES]) {
      if (wrong.has(name)) elements[name].setAttribute("aria-invalid", "true");
      else elements[name].removeAttribute("aria-invalid");
    }
    this.problem = problem;
    this.form.querySelector(".problem").textContent = problem;
  }

  #takeRange() {
    const { from, to } = this.hooks.range();
    const { elements } = this.form;
    elements.from.value = from;
    elements.to.value = to;
    this.#read();
  }
}
