// Where things lie: the picture in its element, seconds on the timeline. Pure.

/** The picture inside an element that keeps its shape (`object-fit: contain`), in its pixels. */
export function letterbox(width, height, pictureWidth, pictureHeight) {
  if (!(pictureWidth > 0) || !(pictureHeight > 0)) return { x: 0, y: 0, width, height };
  const scale = Math.min(width / pictureWidth, height / pictureHeight);
  const [w, h] = [pictureWidth * scale, pictureHeight * scale];
  return { x: (width - w) / 2, y: (height - h) / 2, width: w, height: h };
}

export const MIN_SPAN_S = 0.4;

/** A part of 0..`end`, moved and stretched until it lies inside and is not too short. */
export function clamped(view, end) {
  const span = Math.max(view.end - view.start, MIN_SPAN_S);
  if (span > end - 1e-6) return { start: 0, end };
  const start = Math.min(Math.max(0, view.start), end - span);
  return { start, end: start + span };
}

/** Zoomed so that the second `at` keeps its place. `factor`: below 1 shows less, larger. */
export function zoomed(view, at, factor, end) {
  const span = Math.min(Math.max((view.end - view.start) * factor, Math.min(MIN_SPAN_S, end)), end);
  const share = (at - view.start) / (view.end - view.start);
  return clamped({ start: at - share * span, end: at + (1 - share) * span }, end);
}

export function panned(view, seconds, end) {
  return clamped({ start: view.start + seconds, end: view.end + seconds }, end);
}

export function sameView(one, other) {
  return Math.abs(one.start - other.start) < 1e-9 && Math.abs(one.end - other.end) < 1e-9;
}

/** Two pointers on the timeline: what was under them before stays under them. Pixels of its width. */
export function pinched(view, before, after, width, end) {
  const perPixel = (view.end - view.start) / width;
  const factor = Math.abs(before[1] - before[0]) / Math.max(1, Math.abs(after[1] - after[0]));
  const middle = (before[0] + before[1]) / 2;
  const grown = zoomed(view, view.start + middle * perPixel, factor, end);
  const moved = (before[0] + before[1] - after[0] - after[1]) / 2;
  return panned(grown, (moved * (grown.end - grown.start)) / width, end);
}
