// What is told of a track: the columns of the table, of its file, and what they are sorted by. Pure.

import { numberOf } from "./palette.js";
import { clock, decimals, onScreen, percent } from "./times.js";

/** Each { name, title, largestFirst: at the first click, value, words }; `run`: { review, tracks, ends }. */
export const COLUMNS = [
  column("number", "Track", false, (run, i) => numberOf(run.tracks.ids[i]), (run, i) => String(numberOf(run.tracks.ids[i]))),
  column("first", "Seen first", false, (run, i) => run.tracks.first[i], (run, i) => clock(run.tracks.first[i])),
  column("screen", "On screen", true, of("screen_s"), (run, i) => (
    onScreen(run.review.tracks.screen_s[i], run.review.tracks.screen_error_s[i])
  )),
  column("share", "Share", true, shareOf, (run, i) => percent(shareOf(run, i))),
  column("sightings", "Sightings", true, of("sightings"), (run, i) => decimals(run.review.tracks.sightings[i], 0)),
  column("confidence", "Confidence", true, of("confidence"), (run, i) => decimals(run.review.tracks.confidence[i], 2)),
  column("height", "Face", true, heightOf, (run, i) => {
    const pixels = heightOf(run, i);
    return pixels === null ? "–" : `${decimals(pixels, 0)} px`;
  }),
  column("ended", "Ended", false, endOf, (run, i) => endOf(run, i) ?? "–"),
];

function column(name, title, largestFirst, value, words) {
  return { name, title, largestFirst, value, words };
}

function of(name) {
  return (run, i) => run.review.tracks[name][i];
}

/** Of the episode, 0..1. */
export function shareOf({ review }, place) {
  const seconds = review.tracks.screen_s[place];
  return seconds === null ? null : seconds / review.length_s;
}

/** In pixels of the video. */
export function heightOf({ review }, place) {
  const height = review.tracks.face_height[place];
  return height === null ? null : height * review.height;
}

function endOf({ review, ends }, place) {
  const word = review.tracks.ended[place];
  return word === null ? null : ends[word] ?? word;
}

/**
 * Places in an order; equal ones as they are seen, and last those that lack what is sorted by.
 *
 * @param shown by place, 1 where it is wanted; null for all
 */
export function inOrder(run, shown, name, descending) {
  const { value } = COLUMNS.find((one) => one.name === name);
  const keys = run.tracks.ids.map((_, place) => value(run, place));
  const places = Array.from(run.tracks.byFirst).filter((place) => shown === null || shown[place] === 1);
  const known = places.filter((place) => keys[place] !== null && keys[place] !== undefined);
  const lacking = places.filter((place) => keys[place] === null || keys[place] === undefined);
  const sign = descending ? -1 : 1;
  const compare = (a, b) => (keys[a] < keys[b] ? -1 : keys[a] > keys[b] ? 1 : 0);
  known.sort((a, b) => sign * compare(a, b));
  return Int32Array.from([...known, ...lacking]);
}

const FILE = [
  ["track_id", (run, i) => run.tracks.ids[i]],
  ["start_s", (run, i) => run.tracks.first[i]],
  ["end_s", (run, i) => run.tracks.last[i]],
  ["screen_s", of("screen_s")],
  ["screen_error_s", of("screen_error_s")],
  ["share", (run, i) => rounded(shareOf(run, i), 6)],
  ["sightings", of("sightings")],
  ["confidence", of("confidence")],
  ["face_height_px", (run, i) => rounded(heightOf(run, i), 1)],
  ["ended", of("ended")],
];

function rounded(value, places) {
  return value === null ? null : Number(value.toFixed(places));
}

/** The tracks at these places as CSV; numbers as programs read them. */
export function csvOf(run, places) {
  const lines = [FILE.map(([name]) => name)];
  for (const place of places) lines.push(FILE.map(([, value]) => value(run, place) ?? ""));
  return `${lines.map((line) => line.join(",")).join("\r\n")}\r\n`;
}
