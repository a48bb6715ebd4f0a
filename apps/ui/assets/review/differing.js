// What two runs have found differently, as kinds of tracks and as rows of a table. Pure.

const LEAST_S = 0.1; // seconds that differ by less are the same to people

/** Both runs have the track, but for longer than sampling explains, or in another number of parts. */
export function differs(group) {
  if (group.a.length !== 1 || group.b.length !== 1) return true;
  if (group.difference_s === null) return false;
  return Math.abs(group.difference_s) > Math.max(LEAST_S, 2 * (group.error_s ?? 0));
}

/** What each track is, by its name: `only`, `differs`, or `both`. `side`: `a` or `b`. */
export function kindsOf(found, side) {
  const kinds = new Map();
  for (const group of found.matched) {
    const kind = differs(group) ? "differs" : "both";
    for (const name of group[side]) kinds.set(name, kind);
  }
  for (const { track_id: name } of found[`only_${side}`]) kinds.set(name, "only");
  return kinds;
}

/**
 * All differences, the largest first.
 *
 * `kind`: `only_a`, `only_b`, `differs`, `faces_a` or `faces_b`; `size`: seconds by which it is sorted;
 * `a`, `b`: names of tracks, where there are some.
 */
export function rowsOf(found) {
  const rows = [];
  for (const side of ["a", "b"]) {
    for (const track of found[`only_${side}`]) {
      rows.push({
        kind: `only_${side}`, start: track.first_s, end: track.last_s, a: [], b: [], [side]: [track.track_id],
        seconds: track.screen_s, error: track.screen_error_s, unseen: track.moments === 0,
        size: track.screen_s ?? track.last_s - track.first_s,
      });
    }
    for (const [start, end] of found[`faces_only_${side}`]) {
      rows.push({ kind: `faces_${side}`, start, end, a: [], b: [], seconds: end - start, error: null, size: end - start });
    }
  }
  for (const group of found.matched.filter(differs)) {
    rows.push({
      kind: "differs", start: group.start_s, end: group.end_s, a: group.a, b: group.b,
      seconds: group.difference_s, error: group.error_s, size: Math.abs(group.difference_s ?? 0),
    });
  }
  return rows.sort((one, other) => other.size - one.size || one.start - other.start);
}

/** The row that begins next after a moment, or the last one before it; undefined for none. */
export function nextRow(rows, seconds, direction) {
  const far = (row) => direction * (row.start - seconds);
  return rows
    .filter((row) => far(row) > 1e-3)
    .reduce((best, row) => (best === undefined || far(row) < far(best) ? row : best), undefined);
}
