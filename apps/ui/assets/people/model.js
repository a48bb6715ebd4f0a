// The people of a run: who they are, which of them are looked at, and who is seen with whom. Pure.

import { numberOf } from "../review/palette.js";
import { nameOf as labelOf } from "../review/people.js";

export { labelOf };

export const ALL = Object.freeze({ name: "", minSeconds: null, minConfidence: null, hidden: false });

/** `3`, `0003` and `person-0003` are one; null for what is no name of a person. */
export function idOf(word) {
  const digits = /^(?:person-)?0*(\d{1,12})$/.exec(word)?.[1];
  return digits === undefined ? null : `person-${digits.padStart(4, "0")}`;
}

export class People {
  /** @param answer of `GET …/people`, with all its rows */
  constructor({ items, revision, unmatched, damaged_lines: damagedLines }) {
    this.rows = [...items].sort((a, b) => b.screen_seconds - a.screen_seconds || numberOf(a.person_id) - numberOf(b.person_id));
    this.revision = revision ?? 0;
    this.unmatched = unmatched ?? [];
    this.damagedLines = damagedLines ?? 0;
    this.byId = new Map(this.rows.map((row) => [row.person_id, row]));
    this.ofTrack = new Map(this.rows.flatMap((row) => row.track_ids.map((track) => [track, row])));
  }

  get hiddenCount() {
    return this.rows.filter((row) => row.hidden).length;
  }

  /** Those that a filter lets pass, who is on the screen longest first. */
  passing({ name, minSeconds, minConfidence, hidden }) {
    const part = name.trim().toLowerCase();
    return this.rows.filter((row) => (hidden || !row.hidden)
      && (minSeconds === null || row.screen_seconds >= minSeconds)
      && (minConfidence === null || row.confidence >= minConfidence)
      && (part === "" || labelOf(row).toLowerCase().includes(part)));
  }
}

/**
 * The best faces, and then one of each other track: [{ track, frame }].
 *
 * @param most pictures at most
 * @param withFrames whether there is a picture of every frame; else there is one a track, and `frame` is null
 */
export function facesOf(person, most, withFrames) {
  const best = withFrames ? person.best_faces.map(({ track_id: track, frame_idx: frame }) => ({ track, frame })) : [];
  const known = new Set(best.map(({ track }) => track));
  const rest = [...new Set([...person.best_faces.map((face) => face.track_id), ...person.track_ids])].filter((track) => !known.has(track));
  return [...best, ...rest.map((track) => ({ track, frame: null }))].slice(0, most);
}

/**
 * Appearances as columns of a timeline, a lane a person; as `GET …/review` has tracks.
 *
 * @returns { review, person, index }: whose a bar is, and which of that person's appearances
 */
export function lanesOf(rows, review) {
  const [person, index, starts, ends, lane] = [[], [], [], [], []];
  rows.forEach((row, place) => row.appearances.forEach(([start, end], i) => {
    person.push(row);
    index.push(i);
    starts.push(start);
    ends.push(end);
    lane.push(place);
  }));
  const id = person.map((row, place) => `${row.person_id}/${index[place]}`);
  const tracks = { id, first_s: starts, last_s: ends, start_s: starts, end_s: ends, lane };
  return { review: { ...review, lanes: rows.length, tracks }, person, index };
}

/** Stretches that two lists of them have in common; both ascending, apart within themselves. */
export function shared(one, other) {
  const found = [];
  let [i, j] = [0, 0];
  while (i < one.length && j < other.length) {
    const start = Math.max(one[i][0], other[j][0]);
    const end = Math.min(one[i][1], other[j][1]);
    if (end > start) found.push([start, end]);
    if (one[i][1] < other[j][1]) i += 1;
    else j += 1;
  }
  return found;
}

/** Seconds that each is on the screen with each other one, in one sweep over all appearances. */
export class Together {
  constructor(rows) {
    this.count = rows.length;
    this.seconds = new Float64Array(rows.length ** 2);
    const all = rows.flatMap((row, place) => row.appearances.map(([start, end]) => ({ place, start, end })));
    all.sort((a, b) => a.start - b.start);
    let active = [];
    for (const one of all) {
      active = active.filter(({ end }) => end > one.start);
      for (const other of active) {
        if (other.place !== one.place) this.#add(one.place, other.place, Math.min(one.end, other.end) - one.start);
      }
      active.push(one);
    }
    this.most = this.seconds.reduce((a, b) => Math.max(a, b), 0);
  }

  #add(one, other, seconds) {
    this.seconds[one * this.count + other] += seconds;
    this.seconds[other * this.count + one] += seconds;
  }

  of(one, other) {
    return this.seconds[one * this.count + other];
  }
}
