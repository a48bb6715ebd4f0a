// What is told of a track, or of a person: the columns of the table, of its file, and what they are
// sorted by. Pure.

import { numberOf } from "./palette.js";
import { nameOf } from "./people.js";
import { clock, decimals, onScreen, percent } from "./times.js";

/**
 * Each { name, title, largestFirst: at the first click, value, words }, the first one names its row.
 * They are asked with `run`: { review, tracks, people, ends } and a place in its tracks.
 */
const TRACK_COLUMNS = [
  column("number", "Track", false, (run, i) => numberOf(run.tracks.ids[i]), (run, i) => String(numberOf(run.tracks.ids[i]))),
  column("person", "Person", false, (run, i) => (run.people.of[i] < 0 ? null : run.people.of[i]), (run, i) => whoOf(run, i) ?? "–"),
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

function whoOf({ people }, place) {
  const person = people.who(place);
  return person === undefined ? null : nameOf(person);
}

/** Likewise, with a place in its people. */
const PEOPLE_COLUMNS = [
  column("person", "Person", false, (_, i) => i, (run, i) => nameOf(run.people.all[i])),
  column("first", "Seen first", false, firstOf, (run, i) => clock(firstOf(run, i))),
  column("screen", "On screen", true, (run, i) => run.people.all[i].screen_seconds, (run, i) => (
    onScreen(run.people.all[i].screen_seconds, run.people.all[i].screen_error_seconds)
  )),
  column("share", "Share", true, personShareOf, (run, i) => percent(personShareOf(run, i))),
  column("tracks", "Tracks", true, (run, i) => run.people.tracks[i].length, (run, i) => decimals(run.people.tracks[i].length, 0)),
];

function firstOf({ people, tracks }, person) {
  return people.tracks[person].reduce((least, place) => Math.min(least, tracks.first[place]), Infinity);
}

function personShareOf({ people, review }, person) {
  return people.all[person].screen_seconds / review.length_s;
}

/** The columns of a table of tracks or of people. */
export function columnsOf({ people }, ofPeople) {
  if (ofPeople) return PEOPLE_COLUMNS;
  return TRACK_COLUMNS.filter(({ name }) => name !== "person" || people.known);
}

function endOf({ review, ends }, place) {
  const word = review.tracks.ended[place];
  return word === null ? null : ends[word] ?? word;
}

/**
 * Places in an order; equal ones as they come, and last those that lack what is sorted by.
 *
 * @param places of tracks, or of people
 * @param column what they are sorted by
 */
export function inOrder(run, places, { value }, descending) {
  const keys = new Map(places.map((place) => [place, value(run, place)]));
  const known = places.filter((place) => keys.get(place) !== null && keys.get(place) !== undefined);
  const lacking = places.filter((place) => keys.get(place) === null || keys.get(place) === undefined);
  const sign = descending ? -1 : 1;
  const compare = (a, b) => (keys.get(a) < keys.get(b) ? -1 : keys.get(a) > keys.get(b) ? 1 : 0);
  known.sort((a, b) => sign * compare(a, b));
  return Int32Array.from([...known, ...lacking]);
}

const PEOPLE_FILE = [
  ["person_id", (run, i) => run.people.all[i].person_id],
  ["name", (run, i) => run.people.all[i].name],
  ["first_s", firstOf],
  ["screen_s", (run, i) => run.people.all[i].screen_seconds],
  ["screen_error_s", (run, i) => run.people.all[i].screen_error_seconds],
  ["share", (run, i) => rounded(personShareOf(run, i), 6)],
  ["tracks", (run, i) => run.people.tracks[i].length],
];
const FILE = [
  ["track_id", (run, i) => run.tracks.ids[i]],
  ["person_id", (run, i) => run.people.who(i)?.person_id],
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

/** The tracks, or people, at these places as CSV; numbers as programs read them. */
export function csvOf(run, places, ofPeople) {
  const columns = ofPeople ? PEOPLE_FILE : FILE;
  const lines = [columns.map(([name]) => name)];
  for (const place of places) lines.push(columns.map(([, value]) => quoted(value(run, place) ?? "")));
  return `${lines.map((line) => line.join(",")).join("\r\n")}\r\n`;
}

/** As CSV wants words, and so that no spreadsheet takes them for a formula. */
function quoted(value) {
  if (typeof value !== "string") return value;
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
