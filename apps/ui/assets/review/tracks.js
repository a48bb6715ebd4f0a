// The tracks of a run as columns, with what finds those of a moment without looking at all. Pure.

/** The first place in ascending `values[from..to)` that is not below `value`. */
export function lowerBound(values, value, from = 0, to = values.length) {
  while (from < to) {
    const middle = (from + to) >> 1;
    if (values[middle] < value) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** The first place in ascending `values[from..to)` that is above `value`. */
export function upperBound(values, value, from = 0, to = values.length) {
  while (from < to) {
    const middle = (from + to) >> 1;
    if (values[middle] <= value) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** One row of bars, by start. Ends hardly overlap, yet their running maximum is what ascends. */
function laneOf(places, start, end) {
  const starts = Float64Array.from(places, (place) => start[place]);
  const ends = Float64Array.from(places, (place) => end[place]);
  for (let i = 1; i < ends.length; i += 1) ends[i] = Math.max(ends[i], ends[i - 1]);
  return { places: Int32Array.from(places), starts, ends };
}

export class Tracks {
  /**
   * @param review answer of `GET …/review`
   * @param lanes where they are, if not as in that: see `layOut`
   */
  constructor(review, lanes = { lane: review.tracks.lane, count: review.lanes }) {
    const { tracks } = review;
    this.ids = tracks.id;
    this.count = tracks.id.length;
    this.first = Float64Array.from(tracks.first_s);
    this.last = Float64Array.from(tracks.last_s);
    this.start = Float64Array.from(tracks.start_s);
    this.end = Float64Array.from(tracks.end_s);
    this.cuts = Float64Array.from(review.cuts_s);
    this.fps = review.fps > 0 ? review.fps : 25;
    this.before = review.before_s;
    this.after = review.after_s;
    // Where sound begins first, the pictures end later than their duration.
    this.endOfAll = Math.max(review.duration_s, 1, this.cuts.at(-1) ?? 0, this.end.reduce((a, b) => Math.max(a, b), 0));
    this.layOut(lanes);
    this.byId = new Map(this.ids.map((id, place) => [id, place]));
    this.byFirst = Int32Array.from(this.ids, (_, place) => place);
    this.byFirst.sort((a, b) => this.first[a] - this.first[b] || a - b);
    this.firsts = Float64Array.from(this.byFirst, (place) => this.first[place]);
    this.rank = new Int32Array(this.count);
    this.byFirst.forEach((place, rank) => { this.rank[place] = rank; });
  }

  /** Puts each track into a lane. @param lanes { lane: by place, count: how many there are } */
  layOut({ lane, count }) {
    this.lane = Int32Array.from(lane);
    const lanes = Array.from({ length: count }, () => []);
    for (let place = 0; place < this.count; place += 1) lanes[this.lane[place]].push(place);
    this.lanes = lanes.map((places) => laneOf(places, this.start, this.end));
  }

  /** Places `[from, to)` in a lane of the bars that touch the seconds `start`..`end`. */
  inLane(lane, start, end) {
    const { starts, ends } = this.lanes[lane];
    const to = upperBound(starts, end);
    return [Math.min(to, lowerBound(ends, start)), to];
  }

  /** Tracks whose stretch holds the moment. */
  at(seconds) {
    const found = [];
    for (let lane = 0; lane < this.lanes.length; lane += 1) {
      const [from, to] = this.inLane(lane, seconds, seconds);
      for (let i = from; i < to; i += 1) {
        const place = this.lanes[lane].places[i];
        if (this.start[place] <= seconds && seconds < this.end[place]) found.push(place);
      }
    }
    return found;
  }

  /**
   * The track that begins next after another one, or after a moment; -1 for none.
   *
   * @param shown by place, 1 where it counts; null for all
   */
  neighbour(place, seconds, direction, shown = null) {
    let rank = this.rank[place] + direction;
    if (place < 0) {
      rank = direction > 0 ? upperBound(this.firsts, seconds) : lowerBound(this.firsts, seconds - 1e-3) - 1;
    }
    while (shown !== null && shown[this.byFirst[rank]] === 0) rank += direction;
    return this.byFirst[rank] ?? -1;
  }

  /** True where a cut lies in `(from, to]`. */
  cutBetween(from, to) {
    return upperBound(this.cuts, from) < upperBound(this.cuts, to);
  }

  /** Number of the shot, from 1. */
  shotAt(seconds) {
    return upperBound(this.cuts, seconds + 1e-3) + 1;
  }
}

/** Which tracks pass the filter, and whether any of a stretch of a lane does. */
export class Filtered {
  /** @param shown by place, 1 where it passes; null for all */
  constructor(tracks, shown) {
    Object.assign(this, { tracks, shown });
    if (shown === null) return;
    this.before = tracks.lanes.map(({ places }) => {
      const sums = new Int32Array(places.length + 1);
      places.forEach((place, i) => { sums[i + 1] = sums[i] + shown[place]; });
      return sums;
    });
  }

  has(place) {
    return this.shown === null || this.shown[place] === 1;
  }

  /** Of the bars `[from, to)` of a lane. */
  any(lane, from, to) {
    return this.shown === null || this.before[lane][to] > this.before[lane][from];
  }

  /** Where those begin and end that pass. */
  stretches() {
    const { start, end } = this.tracks;
    if (this.shown === null) return { start, end };
    return { start: start.filter((_, place) => this.has(place)), end: end.filter((_, place) => this.has(place)) };
  }
}

/** How many tracks there are at once, and the most of any stretch, asked in constant time. */
export class Density {
  constructor(tracks) {
    const starts = Float64Array.from(tracks.start).sort();
    const ends = Float64Array.from(tracks.end).sort();
    const times = [-Infinity];
    const counts = [0];
    let [i, j] = [0, 0];
    while (i < starts.length || j < ends.length) {
      const time = Math.min(starts[i] ?? Infinity, ends[j] ?? Infinity);
      while (ends[j] === time) j += 1;
      while (starts[i] === time) i += 1;
      times.push(time);
      counts.push(i - j);
    }
    this.times = Float64Array.from(times);
    this.levels = [Int32Array.from(counts)];
    for (let width = 1; 2 * width <= counts.length; width *= 2) {
      const below = this.levels.at(-1);
      const level = new Int32Array(counts.length - 2 * width + 1);
      for (let k = 0; k < level.length; k += 1) level[k] = Math.max(below[k], below[k + width]);
      this.levels.push(level);
    }
    this.top = counts.reduce((a, b) => Math.max(a, b), 0);
  }

  /** The most at once in `[from, to]`. */
  most(from, to) {
    const first = upperBound(this.times, from) - 1;
    const behind = Math.max(first + 1, lowerBound(this.times, to));
    const power = 31 - Math.clz32(behind - first);
    const level = this.levels[power];
    return Math.max(level[first], level[behind - 2 ** power]);
  }
}
