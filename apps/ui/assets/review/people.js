// Who the tracks are: names, colours, and lanes in which everybody has their own.

import { colourOf, numberOf } from "./palette.js";

const NOBODYS = "#80858f";
const AT_ONCE = 10_000; // rows that the server gives at once

/** What people call somebody, else a word with the number. */
export function nameOf(person) {
  return person.name ?? `Person ${numberOf(person.person_id)}`;
}

/**
 * All people of a run, hidden ones too, as the first page of `GET …/people` with the items of all.
 *
 * @param ask called with what to add to the run's address; resolves with that answer
 */
export async function allPeople(ask) {
  const all = await ask(`/people?limit=${AT_ONCE}`);
  while (all.items.length < all.total) {
    const next = await ask(`/people?limit=${AT_ONCE}&offset=${all.items.length}`);
    if (next.items.length === 0) break;
    all.items.push(...next.items);
  }
  return all;
}

export class People {
  /**
   * @param ids of the tracks
   * @param rows as `GET …/people` has them
   */
  constructor(ids, rows) {
    this.hides = rows.some((row) => row.hidden);
    this.all = rows.filter((row) => !row.hidden).sort((a, b) => b.screen_seconds - a.screen_seconds);
    const owners = new Map(this.all.flatMap((row, place) => row.track_ids.map((track) => [track, place])));
    this.of = Int32Array.from(ids, (id) => owners.get(id) ?? -1);
    this.tracks = this.all.map(() => []);
    this.of.forEach((person, place) => { this.tracks[person]?.push(place); });
  }

  /** False where the run did not look for people, or found none. */
  get known() {
    return this.all.length > 0;
  }

  /** What those are called who have a track and are none of these. */
  get others() {
    return this.hides ? "Hidden, or nobody" : "Nobody in particular";
  }

  /** Whose track it is; undefined where nobody knows. */
  who(place) {
    return this.all[this.of[place]];
  }

  /** A track's colour: all of a person's have one, and what is nobody's is grey. */
  colour(place, trackId, colours) {
    const person = this.who(place);
    if (person !== undefined) return colourOf(numberOf(person.person_id), colours);
    return this.known ? NOBODYS : colourOf(numberOf(trackId), colours);
  }
}

/**
 * Lanes in which everybody has their own, in the order of the people; then what is nobody's.
 *
 * @param owners by place: place in the people, -1 for none
 * @param start by place, ascending
 * @returns { lane: by place, owners: of each lane, firsts: by lane, whether it is its owner's first }
 */
export function lanesByPerson(owners, start, end) {
  const rows = new Map(); // of each owner the ends of their lanes
  const within = Int32Array.from(owners, (owner, place) => {
    const ends = rows.get(owner) ?? [];
    rows.set(owner, ends);
    let row = ends.findIndex((busy) => busy <= start[place] + 1e-3);
    if (row < 0) row = ends.length;
    ends[row] = Math.max(ends[row] ?? 0, end[place]);
    return row;
  });
  const order = [...rows.keys()].sort((a, b) => (a < 0) - (b < 0) || a - b);
  const below = new Map();
  const ofLane = [];
  for (const owner of order) {
    below.set(owner, ofLane.length);
    for (let i = 0; i < rows.get(owner).length; i += 1) ofLane.push(owner);
  }
  return {
    lane: within.map((row, place) => row + below.get(owners[place])),
    owners: ofLane,
    firsts: ofLane.map((owner, lane) => ofLane[lane - 1] !== owner),
  };
}
