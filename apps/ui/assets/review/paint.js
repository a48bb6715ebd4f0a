// What a timeline shows, on a canvas: ruler, cuts, lanes of bars, playhead. Only what is in sight.
// `t` is the timeline: what it shows, how large it is, and its colours.

import { clock, rulerSteps } from "./times.js";
import { lowerBound } from "./tracks.js";

export const RULER = 22; // pixels, as all here
export const STRIP = 18;
export const GAP = 3;
const LEAST = 2; // of a bar's width, so that it can be seen

/** Everything but the playhead. */
export function paintAll(context, t) {
  context.save();
  context.beginPath();
  context.rect(t.left, 0, t.width - t.left, t.height);
  context.clip();
  paintCuts(context, t);
  paintRange(context, t);
  paintLanes(context, t);
  if (t.crowded) paintStrip(context, t);
  paintRuler(context, t);
  context.restore();
  if (t.owners !== null) paintOwners(context, t);
}

function paintRuler(context, t) {
  const { text, back, font } = t.colours;
  const { width, view } = t;
  context.fillStyle = back;
  context.fillRect(0, 0, width, RULER);
  const { word, tick, places } = rulerSteps(t.secondsPerPixel);
  const lines = (step, from) => {
    context.beginPath();
    for (let n = Math.ceil(view.start / step - 1e-9); n * step <= view.end; n += 1) {
      const x = Math.round(t.xOf(n * step)) + 0.5;
      context.moveTo(x, from);
      context.lineTo(x, RULER);
    }
    context.stroke();
  };
  Object.assign(context, { strokeStyle: text, lineWidth: 1, globalAlpha: 0.6 });
  lines(tick, RULER - 4);
  lines(word, RULER - 9);
  Object.assign(context, { globalAlpha: 1, fillStyle: text, font: `11px ${font}`, textBaseline: "top" });
  for (let n = Math.ceil(view.start / word - 1e-9); n * word <= view.end; n += 1) {
    const x = t.xOf(n * word);
    const label = clock(n * word, places);
    const half = context.measureText(label).width / 2;
    context.fillText(label, Math.min(Math.max(t.left + 4, x - half), width - 2 * half), 1);
  }
  context.globalAlpha = 0.35;
  context.fillRect(0, RULER - 0.5, width, 1);
  context.globalAlpha = 1;
}

function paintRange(context, t) {
  const { from, to } = t.range;
  if (from === null && to === null) return;
  const [x1, x2] = [from === null ? t.left : t.xOf(from), to === null ? t.width : t.xOf(to)];
  Object.assign(context, { fillStyle: t.colours.strong, globalAlpha: 0.14 });
  context.fillRect(x1, 0, x2 - x1, t.height);
  context.globalAlpha = 1;
  if (from !== null) context.fillRect(x1 - 1, 0, 2, t.height);
  if (to !== null) context.fillRect(x2 - 1, 0, 2, t.height);
}

function paintCuts(context, t) {
  const { cuts } = t.tracks;
  const { view, width, height } = t;
  Object.assign(context, { fillStyle: t.colours.text, globalAlpha: 0.6 });
  let place = lowerBound(cuts, view.start);
  while (place < cuts.length && cuts[place] <= view.end) {
    context.fillRect(Math.round(t.xOf(cuts[place])), RULER, 1, height - RULER);
    place = Math.max(place + 1, lowerBound(cuts, cuts[place] + 4 * t.secondsPerPixel)); // else all is grey
  }
  // Dashes: hundreds of dashed strokes would take three times as long.
  for (let y = RULER + 3; y < height; y += 6) context.clearRect(0, y, width, 3);
  context.globalAlpha = 1;
}

/** How many faces there are at once, of all lanes, those out of sight too. */
function paintStrip(context, t) {
  const { back, text, ground } = t.colours;
  const { density, width } = t;
  context.fillStyle = back;
  context.fillRect(0, RULER, width, STRIP + GAP);
  context.fillStyle = ground;
  context.fillRect(0, RULER, width, STRIP);
  Object.assign(context, { fillStyle: text, globalAlpha: 0.6 });
  let [began, height] = [0, 0]; // pixels of the same height are one rectangle
  for (let x = t.left; x <= width; x += 1) {
    const most = x < width ? density.most(t.timeAt(x), t.timeAt(x + 1)) : 0;
    const tall = most > 0 ? Math.max(1, Math.round((most / density.top) * STRIP)) : 0;
    if (tall === height) continue;
    if (height > 0) context.fillRect(began, RULER + STRIP - height, x - began, height);
    [began, height] = [x, tall];
  }
  context.globalAlpha = 1;
}

function paintLanes(context, t) {
  withinLanes(context, t, () => {
    for (const [lane, y] of lanesInSight(t)) paintLane(context, t, lane, y);
    paintPicked(context, t, t.top);
  });
  paintScrollbar(context, t, t.top);
}

/** Lanes and their upper edges. */
function lanesInSight(t) {
  const height = t.row + GAP;
  const first = Math.floor(t.scroll / height);
  const behind = Math.min(t.tracks.lanes.length, Math.ceil((t.scroll + t.height - t.top) / height));
  return Array.from({ length: Math.max(0, behind - first) }, (_, i) => [first + i, t.top + (first + i) * height - t.scroll]);
}

/** What it paints does not go beyond the lanes. */
function withinLanes(context, t, paint) {
  context.save();
  context.beginPath();
  context.rect(0, t.top, t.width, t.height - t.top);
  context.clip();
  paint();
  context.restore();
}

function paintLane(context, t, lane, y) {
  const { places, starts } = t.tracks.lanes[lane];
  const { start, end } = t.tracks;
  const perPixel = t.secondsPerPixel;
  const [from, to] = t.tracks.inLane(lane, t.view.start, t.view.end);
  const crowds = { shown: [], hidden: [] };
  for (let i = from; i < to;) {
    const place = places[i];
    t.stats.visited += 1;
    let next = i + 1;
    if (end[place] - start[place] < perPixel) {
      // All that begin in the same pixel, but one at their end that has some of its own.
      next = Math.max(next, lowerBound(starts, start[place] + perPixel, next, to));
      const last = places[next - 1];
      if (next - 1 > i && end[last] - start[last] >= perPixel) next -= 1;
    }
    const x = Math.max(t.left - 2, t.xOf(start[place]));
    const right = Math.min(t.width + 2, t.xOf(end[place]));
    if (!t.filtered.any(lane, i, next)) widen(crowds.hidden, x, Math.max(right, x + LEAST));
    else if (next - i > 1) widen(crowds.shown, x, x + LEAST);
    else {
      // What touches its neighbour in the lane would look like one with it.
      const between = right - x > 4 ? 1 : 0;
      context.fillStyle = t.colourOfTrack(place);
      context.fillRect(x, y, Math.max(LEAST, right - x - between), t.row);
    }
    i = next;
  }
  context.fillStyle = t.colours.text;
  for (const [kind, alpha] of [["hidden", 0.12], ["shown", 0.6]]) {
    context.globalAlpha = alpha;
    for (const one of crowds[kind]) context.fillRect(one.x, y, one.right - one.x, t.row);
  }
  context.globalAlpha = 1;
}

/** Who has the lanes, before them. */
function paintOwners(context, t) {
  const { text, font } = t.colours;
  Object.assign(context, { font: `600 11px ${font}`, textBaseline: "middle", fillStyle: text, globalAlpha: 1 });
  withinLanes(context, t, () => {
    for (const [lane, y] of lanesInSight(t)) {
      const name = t.owners[lane];
      if (name !== null) context.fillText(shortened(context, name, t.left - 10), 4, y + t.row / 2);
    }
  });
}

/** Words that fit into so many pixels. */
function shortened(context, words, most) {
  if (context.measureText(words).width <= most) return words;
  const letters = [...words].slice(0, 60);
  while (letters.length > 1 && context.measureText(`${letters.join("")}…`).width > most) letters.pop();
  return `${letters.join("")}…`;
}

/** Neighbouring pixels of such are one rectangle. */
function widen(crowds, x, right) {
  const last = crowds.at(-1);
  if (last !== undefined && x <= last.right + 1) last.right = Math.max(last.right, right);
  else crowds.push({ x, right });
}

function paintPicked(context, t, top) {
  if (t.picked < 0) return;
  const { start, end, lane } = t.tracks;
  const row = t.row;
  const x = t.xOf(start[t.picked]);
  const y = top + lane[t.picked] * (t.row + GAP) - t.scroll;
  const width = Math.max(LEAST, t.xOf(end[t.picked]) - x - 1);
  context.fillStyle = t.colourOfTrack(t.picked);
  context.fillRect(x, y, width, row);
  Object.assign(context, { strokeStyle: t.colours.text, lineWidth: 2 });
  context.strokeRect(x - 1, y - 1, width + 2, row + 2);
}

function paintScrollbar(context, t, top) {
  if (t.scrollEnd === 0) return;
  const room = t.height - top;
  const all = t.count * (t.row + GAP);
  Object.assign(context, { fillStyle: t.colours.text, globalAlpha: 0.55 });
  context.fillRect(t.width - 5, top + (t.scroll / all) * room, 4, Math.max(12, (room / all) * room));
  context.globalAlpha = 1;
}

export function paintPlayhead(context, t) {
  const x = Math.round(t.xOf(t.playhead));
  const least = t.left === 0 ? -6 : t.left;
  if (x < least || x > t.width + 6) return;
  context.fillStyle = t.colours.strong;
  context.fillRect(x - 1, 0, 2, t.height);
  context.beginPath();
  context.moveTo(x - 6, 0);
  context.lineTo(x + 6, 0);
  context.lineTo(x, 9);
  context.fill();
}
