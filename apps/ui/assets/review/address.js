// The address of what is seen, and the history of what was seen.
//
// Streamlit writes addresses too, out of what it knew when its script began, and makes an entry of the
// history for each. So all of it goes through here: an entry is made only where something else is seen.

const SEEN = ["episode", "run", "track", "person", "t"];
const OPTION = /^option-/;
const FORM = "[class*=st-key-option-]";

const prototype = window.History.prototype;
const hearers = new Set();
let told = "";
let view = ""; // path of the one that told
let entry = window.location.href; // that was current before the browser went to another one

/** Begins to look after the address; once for each version of this module. */
function install() {
  window.history.pushState = (state, title, url) => {
    const to = new URL(url ?? window.location.href, window.location.href);
    if (to.pathname === window.location.pathname) write(kept(to, true), "replaceState");
    else write(carried(to), "pushState");
  };
  window.history.replaceState = (state, title, url) => {
    const to = new URL(url ?? window.location.href, window.location.href);
    const hasForm = view === window.location.pathname && document.querySelector(FORM) !== null;
    write(kept(to, !hasForm), "replaceState");
  };
  window.addEventListener("popstate", wentBack, { capture: true }); // before Streamlit's
}

function write(url, how) {
  if (url.href === window.location.href) return;
  prototype[how].call(window.history, {}, "", url.href);
  entry = url.href;
}

/**
 * The same view, as somebody else writes it: what is seen stays as it is here.
 *
 * @param keepsOptions those of the runs to come too: they go only where the reader empties a field,
 *   which Streamlit writes in the place of the address, and not with the form that they stand in
 */
function kept(to, keepsOptions) {
  const from = here();
  return composed(to, (name) => from.getAll(name), keepsOptions);
}

/** Another view: of the same episode where its address does not say of which. */
function carried(to) {
  const from = to.searchParams.has("episode") ? to.searchParams : here();
  const names = from === to.searchParams ? SEEN : ["episode"];
  return composed(to, (name) => (names.includes(name) ? from.getAll(name) : []), true);
}

function composed(to, valuesOf, keepsOptions) {
  const query = new URLSearchParams();
  for (const name of SEEN) for (const value of valuesOf(name)) query.append(name, value);
  for (const [name, value] of to.searchParams) if (!SEEN.includes(name)) query.append(name, value);
  if (keepsOptions) {
    for (const [name, value] of here()) if (OPTION.test(name) && !query.has(name)) query.append(name, value);
  }
  return withQuery(to, query);
}

function withQuery(url, query) {
  const whole = new URL(url.href);
  whole.search = query.toString();
  return whole;
}

function here() {
  return new URLSearchParams(window.location.search);
}

/**
 * Writes what the page shows; a step of the history where the reader has chosen something else.
 *
 * @param seen { view, names: { episode: [], run: [] }, steps: [names] }; null leaves the address alone
 */
export function tell(seen) {
  const words = JSON.stringify(seen);
  if (words === told) return; // drawn again; the reader may have gone elsewhere since
  told = words;
  view = window.location.pathname;
  if (seen === null) return;
  const before = here();
  const changed = Object.keys(seen.names).filter((name) => !same(before.getAll(name), seen.names[name]));
  if (changed.length === 0) return;
  const step = changed.some((name) => before.has(name) && seen.steps.includes(name));
  const values = (name) => seen.names[name] ?? [];
  write(composed(new URL(window.location.href), values, true), step ? "pushState" : "replaceState");
}

function same(one, other) {
  return one.length === other.length && one.every((value, place) => value === other[place]);
}

/** Track, person and time that the address names, as they stand there; null where it is another run's. */
export function placeOf(episode, run) {
  const query = here();
  if (!same(query.getAll("run"), [run]) || query.get("episode") !== episode) return null;
  return { track: query.get("track"), person: query.get("person"), t: query.get("t") };
}

/** Writes where the reader is in a run: `{ track, person, t }` or some of these, texts or null. `step`: Back leads to the place before. */
export function setPlace(episode, run, place, step) {
  if (placeOf(episode, run) === null) return;
  const query = here();
  const values = (name) => (name in place ? [place[name]].filter((value) => value !== null) : query.getAll(name));
  write(composed(new URL(window.location.href), values, true), step ? "pushState" : "replaceState");
}

/** The address of a moment, for somebody else: without the options of runs to come. */
export function linkTo(episode, run, place) {
  const query = new URLSearchParams({ episode, run });
  for (const [name, value] of Object.entries(place)) if (value !== null) query.set(name, value);
  const link = withQuery(new URL(window.location.href), query);
  link.hash = "";
  return link.href;
}

/** Calls when the reader went back or forth within what is shown; returns what ends that. */
export function onReturn(hear) {
  hearers.add(hear);
  return () => hearers.delete(hear);
}

/** Back or Forward. Where another place of the same run is meant the page's script need not run. */
function wentBack(event) {
  const before = new URL(entry);
  entry = window.location.href;
  const now = new URL(entry);
  if (hearers.size === 0 || before.search === now.search || whole(before) !== whole(now)) return;
  event.stopImmediatePropagation();
  for (const hear of hearers) hear();
}

/** All of an address but track, person, time and hash. */
function whole(url) {
  const query = new URLSearchParams(url.search);
  query.delete("track");
  query.delete("person");
  query.delete("t");
  return `${url.pathname}?${query}`;
}

install();

/** Streamlit calls it with what the page's script tells. */
export default function ({ data }) {
  tell(data.seen);
}
