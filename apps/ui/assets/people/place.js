// The place in the address: which person is watched, and where; where Back leads.

import { onReturn, placeOf, setPlace } from "../review/address.js";
import { numberOf } from "../review/palette.js";
import { clock } from "../review/times.js";
import { idOf } from "./model.js";

const REST_MS = 400; // a place comes into the address once it has rested so long

export class Place {
  /**
   * @param line the element that says what is not there
   * @param hooks { names, has, end, go, now }: episode and run; whether there is such a person; seconds of the
   *   video; goes to { person, t }; where it is
   */
  constructor(line, hooks) {
    Object.assign(this, { line, hooks });
    this.stop = onReturn(() => this.#goTo(placeOf(...hooks.names())));
  }

  dispose() {
    this.stop();
    clearTimeout(this.resting);
  }

  /** The people are there: goes where the address says, if it does. */
  opened() {
    this.#tell("");
    const place = placeOf(...this.hooks.names());
    if (place !== null && (place.person !== null || place.t !== null)) this.#goTo(place);
  }

  #goTo(place) {
    if (place === null) return;
    const wrong = [];
    const person = place.person === null ? null : idOf(place.person);
    const isThere = place.person === null || this.hooks.has(person);
    if (!isThere) wrong.push(`There is no person “${short(place.person)}” in this run.`);
    const t = place.t === null ? null : /^\d{1,9}(\.\d{1,9})?$/.test(place.t) ? Number(place.t) : NaN;
    const isMoment = t === null || t <= this.hooks.end() + 1e-3;
    if (!isMoment) wrong.push(`There is no moment “${short(place.t)}” in this video: it ends at ${clock(this.hooks.end())}.`);
    this.#tell(wrong.join(" "));
    this.arrives = true;
    this.hooks.go({ person: isThere ? person : null, t: isMoment ? t : null });
  }

  #tell(words) {
    this.line.textContent = words;
    this.line.hidden = words === "";
  }

  /** Has the address name where the reader rests. `chosen`: the reader has chosen a person; Back leads to the one before. */
  rest(chosen = false) {
    this.news ||= chosen;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      const now = this.hooks.now();
      if (now === null || (now.plays && !this.news)) return;
      const before = placeOf(...this.hooks.names());
      const { arrives } = this;
      [this.news, this.arrives] = [false, false];
      if (before === null || (arrives && !this.line.hidden)) return; // what is not there stays until one goes elsewhere
      this.#tell("");
      const person = now.person === null ? null : String(numberOf(now.person));
      if (person === null && before.person === null && before.t === null && now.t === 0) return; // at the beginning
      const isOther = idOf(before.person ?? "") !== now.person;
      setPlace(...this.hooks.names(), { person, t: String(Math.round(now.t * 1000) / 1000) }, isOther && !arrives);
    }, REST_MS);
  }
}

function short(word) {
  return word.length > 40 ? `${word.slice(0, 40)}…` : word;
}
