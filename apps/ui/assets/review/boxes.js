// Boxes of the moment: fetched a window at a time, ahead of the playhead, interpolated between.

import { lowerBound } from "./tracks.js";

export const WINDOW_S = 20;
const KEPT = 12; // windows: four minutes of a film with many faces are a few megabytes
const RETRY_MS = 3000;
const SHORTEST_S = 0.5; // of a part that is asked for where the server wants to be asked for less
const HAIR = 1e-3; // seconds; times come with three decimals or more

/**
 * Where a track is at a moment, or null where nothing is known of it there. Pure.
 *
 * Never over a cut, and never beyond what a sighting stands for.
 *
 * @param seen { times, boxes }: a track's sightings, ascending; four numbers a box, 0..1
 * @param tracks has `cutBetween`, `fps`, `before`, `after`
 * @returns { box, exact }
 */
export function placeAt(seen, seconds, stretch, tracks) {
  const { times, boxes } = seen;
  const box = (i) => [boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3]];
  const half = 0.49 / tracks.fps;
  const next = lowerBound(times, seconds);
  const near = next > 0 && (next === times.length || seconds - times[next - 1] < times[next] - seconds) ? next - 1 : next;
  if (near < times.length && Math.abs(times[near] - seconds) <= half && !cutApart(times[near], seconds, tracks)) {
    return { box: box(near), exact: true };
  }
  if (seconds < stretch.start - HAIR || seconds >= stretch.end - HAIR) return null;
  const held = (i) => (i >= 0 && i < times.length && !cutApart(times[i], seconds, tracks) ? { box: box(i), exact: false } : null);
  if (next === 0) return held(0);
  if (next === times.length) return held(next - 1);
  const [from, to] = [times[next - 1], times[next]];
  if (tracks.cutBetween(from, to)) {
    const before = held(next - 1);
    if (before !== null) return seconds - from <= tracks.after ? before : null;
    return to - seconds <= tracks.before + HAIR ? held(next) : null;
  }
  const share = (seconds - from) / (to - from);
  const [one, other] = [box(next - 1), box(next)];
  return { box: one.map((value, k) => value + share * (other[k] - value)), exact: false };
}

/** A frame at the cut itself is the new shot's. */
function cutApart(one, other, tracks) {
  return tracks.cutBetween(Math.min(one, other) + HAIR, Math.max(one, other) + HAIR);
}

/** Answers of `GET …/boxes`, by track; what two of them have in common is kept once. Pure. */
export function byTrack(answers) {
  const found = new Map();
  for (const { time_s: times, track, box } of answers) {
    times.forEach((time, i) => {
      if (!found.has(track[i])) found.set(track[i], []);
      found.get(track[i]).push([time, box[4 * i], box[4 * i + 1], box[4 * i + 2], box[4 * i + 3]]);
    });
  }
  for (const [track, rows] of found) {
    rows.sort((a, b) => a[0] - b[0]);
    const kept = track < 0 ? rows : rows.filter((row, i) => i === 0 || row[0] > rows[i - 1][0]);
    found.set(track, {
      times: Float64Array.from(kept, (row) => row[0]),
      boxes: Float32Array.from(kept.flatMap((row) => row.slice(1))),
    });
  }
  return found;
}

export class Boxes {
  /**
   * @param url of `GET …/boxes`
   * @param changed called when boxes have come, or have not
   */
  constructor(url, tracks, changed) {
    Object.assign(this, { url, tracks, changed });
    this.windows = new Map(); // in the order of use; an entry is { seen } or { failedAt }
    this.coming = new Map(); // number of a window -> its promise
    this.stopper = new AbortController();
    this.part = WINDOW_S; // how much is asked for at once
    this.problem = null;
  }

  dispose() {
    this.stopper.abort();
    this.windows.clear();
  }

  /** Fetches what a playhead there needs now and next. `rate`: how fast it goes. */
  want(seconds, rate = 1) {
    const now = this.#number(seconds);
    const ahead = Math.max(1, Math.ceil(Math.abs(rate)));
    for (let number = now; number <= now + ahead; number += 1) {
      if (number * WINDOW_S < this.tracks.endOfAll) this.#load(number);
    }
  }

  /** What is to be drawn at a moment; null while it is not here yet. */
  at(seconds) {
    const seen = this.#seen(this.#number(seconds));
    if (seen === null) return null;
    const found = [];
    const { start, end, fps } = this.tracks;
    for (const [track, sightings] of seen) {
      if (track < 0) {
        const from = lowerBound(sightings.times, seconds - 0.49 / fps);
        for (let i = from; i < sightings.times.length && sightings.times[i] <= seconds + 0.49 / fps; i += 1) {
          found.push({ track, box: [...sightings.boxes.slice(4 * i, 4 * i + 4)], exact: true });
        }
        continue;
      }
      const stretch = { start: start[track], end: end[track] };
      const place = placeAt(sightings, seconds, stretch, this.tracks);
      if (place !== null) found.push({ track, ...place });
    }
    return found;
  }

  /**
   * The next sighting in a direction, of one track or, for -1, of any; null for none.
   *
   * Asks for windows until there is one; those where no track is are passed over.
   */
  async sighting(track, seconds, direction) {
    const { first, last, endOfAll } = this.tracks;
    const [low, high] = track < 0 ? [0, endOfAll] : [first[track], last[track]];
    const from = Math.min(Math.max(seconds, low - 1), high + 1);
    const end = this.#number(direction > 0 ? high : low);
    for (let number = this.#number(from); (end - number) * direction >= 0; number += direction) {
      const within = [number * WINDOW_S, (number + 1) * WINDOW_S];
      if (!this.#anyone(track, ...within)) continue;
      const seen = this.#seen(number) ?? (await this.#load(number));
      if (seen === null) return null;
      const sightings = track < 0 ? [...seen.values()] : [seen.get(track)];
      const found = nextTime(sightings, seconds, direction, within);
      if (found !== null) return found;
    }
    return null;
  }

  #anyone(track, from, to) {
    if (track >= 0) return true;
    return this.tracks.lanes.some((_, lane) => {
      const [first, behind] = this.tracks.inLane(lane, from, to);
      return first < behind;
    });
  }

  #number(seconds) {
    return Math.max(0, Math.floor(seconds / WINDOW_S));
  }

  #seen(number) {
    const entry = this.windows.get(number);
    if (entry?.seen === undefined) return null;
    this.windows.delete(number); // the last used stand last
    this.windows.set(number, entry);
    return entry.seen;
  }

  /** The window, or null where it does not come. */
  #load(number) {
    const entry = this.windows.get(number);
    if (entry?.seen !== undefined) return Promise.resolve(entry.seen);
    if (entry !== undefined && performance.now() - entry.failedAt < RETRY_MS) return Promise.resolve(null);
    if (!this.coming.has(number)) {
      const coming = this.#fetch(number).finally(() => this.coming.delete(number));
      this.coming.set(number, coming);
    }
    return this.coming.get(number);
  }

  async #fetch(number) {
    let entry;
    try {
      const answers = await this.#ask(number * WINDOW_S, (number + 1) * WINDOW_S);
      entry = { seen: byTrack(answers) };
      this.problem = null;
    } catch (error) {
      if (this.stopper.signal.aborted) return null;
      entry = { failedAt: performance.now() };
      this.problem = error.message;
    }
    this.windows.delete(number);
    this.windows.set(number, entry);
    while (this.windows.size > KEPT) this.windows.delete(this.windows.keys().next().value);
    this.changed();
    return entry.seen ?? null;
  }

  async #ask(start, end) {
    if (end - start > this.part + HAIR) {
      const middle = (start + end) / 2;
      return [...(await this.#ask(start, middle)), ...(await this.#ask(middle, end))];
    }
    const answer = await fetch(`${this.url}?start_s=${start}&end_s=${end}`, { signal: this.stopper.signal });
    if (answer.status === 422 && end - start > SHORTEST_S) {
      this.part = Math.min(this.part, (end - start) / 2); // later ones are not refused
      return this.#ask(start, end);
    }
    if (!answer.ok) throw new Error("The boxes cannot be read.");
    return [await answer.json()];
  }
}

/** The nearest time beyond a moment and in a window: what others of it lie behind is the next one's. */
function nextTime(sightings, seconds, direction, [start, end]) {
  let found = null;
  for (const seen of sightings) {
    if (seen === undefined) continue;
    const { times } = seen;
    const place = direction > 0 ? lowerBound(times, seconds + HAIR) : lowerBound(times, seconds - HAIR) - 1;
    const time = times[place];
    if (time === undefined || time < start || time > end) continue;
    if (found === null || (found - time) * direction > 0) found = time;
  }
  return found;
}
