// The place in the address: where the review opens, where Back leads, and the link to this moment.

import { linkTo, onReturn, placeOf, setPlace } from "./address.js";
import { numberOf } from "./palette.js";
import { clock } from "./times.js";

const TOLD_MS = 2500;
const NEAR_S = 0.05; // what a player rounds is no move

export class Links {
  /**
   * @param review whose place it is: it has `data`, `tracks`, `player`, `picked`, and can be moved
   * @param say tells something to those who do not see it
   */
  constructor(review, say) {
    Object.assign(this, { review, say });
    this.stop = onReturn(() => this.#goTo(placeOf(...this.#names())));
    this.line = Object.assign(document.createElement("p"), { className: "unknown", hidden: true });
    this.line.setAttribute("role", "alert");
    review.root.querySelector(".stage").append(this.line);
  }

  dispose() {
    this.stop();
    clearTimeout(this.telling);
    this.line.remove();
  }

  #names() {
    const { episode, run } = this.review.data;
    return [episode, run].map((path) => decodeURIComponent(path.split("/").at(-1)));
  }

  /** The run is there: goes where the address says, if it does. */
  opened() {
    this.#tell("");
    this.arrives = this.review.picked >= 0; // the page has asked for a track: no step of the reader
    const place = placeOf(...this.#names());
    if (place !== null && (place.track !== null || place.t !== null)) this.#goTo(place);
  }

  #goTo(place) {
    const { review } = this;
    if (review.tracks === undefined || place === null) return;
    const { byId, endOfAll } = review.tracks;
    const track = place.track === null ? -1 : byId.get(idOf(place.track)) ?? -1;
    const seconds = place.t === null ? null : secondsOf(place.t, endOfAll);
    const wrong = [];
    if (place.track !== null && track < 0) wrong.push(`There is no track “${short(place.track)}” in this run.`);
    if (Number.isNaN(seconds)) {
      wrong.push(`There is no moment “${short(place.t)}” in this video: it ends at ${clock(endOfAll)}.`);
    }
    this.#tell(wrong.join(" "));
    this.arrives = true;
    const known = Number.isNaN(seconds) ? null : seconds;
    if (track >= 0) review.pick(track, known);
    else review.goTo(known ?? 0);
  }

  #tell(words) {
    this.line.textContent = words;
    this.line.hidden = words === "";
    this.wrong = words !== "";
  }

  /** The reader rests at a place. */
  rested({ track, t }) {
    const place = { track: track === null ? null : String(numberOf(track)), t: String(t) };
    const [episode, run] = this.#names();
    const before = placeOf(episode, run);
    const { arrives } = this;
    this.arrives = false;
    if (before === null) return;
    if (this.wrong) { // what is not there stays in the address until one goes elsewhere
      if (arrives) this.arrived = { track, t };
      if (this.arrived.track === track && Math.abs(this.arrived.t - t) < NEAR_S) return;
      this.#tell("");
    }
    if (arrives && before.track === null && before.t === null && track === null) return; // at the beginning
    setPlace(episode, run, place, idOf(before.track ?? "") !== track && !arrives);
  }

  /** Copies the link to this moment, and says so beside the button. */
  async copy() {
    const { review } = this;
    const track = review.picked < 0 ? null : String(numberOf(review.tracks.ids[review.picked]));
    const t = String(Math.round(review.player.time * 1000) / 1000);
    const link = linkTo(...this.#names(), { track, t });
    const copied = await copyText(link, review.root);
    if (!copied) {
      window.prompt("The link to this moment", link);
      return;
    }
    this.say("The link is copied.");
    const button = review.root.querySelector(".link");
    button.dataset.told = "Copied";
    clearTimeout(this.telling);
    this.telling = setTimeout(() => delete button.dataset.told, TOLD_MS);
  }
}

/** `7`, `00007` and `track-00007` are one. */
function idOf(word) {
  const digits = /^(?:track-)?0*(\d{1,12})$/.exec(word)?.[1];
  return digits === undefined ? null : `track-${digits.padStart(5, "0")}`;
}

/** NaN where it is no moment of the video. */
function secondsOf(word, end) {
  if (!/^\d{1,9}(\.\d{1,9})?$/.test(word)) return NaN;
  return Number(word) <= end + 1e-3 ? Number(word) : NaN;
}

function short(word) {
  return word.length > 40 ? `${word.slice(0, 40)}…` : word;
}

/** By the clipboard, or as it was done before; that is left where a page has no certificate. */
async function copyText(text, root) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = Object.assign(document.createElement("textarea"), { value: text });
    const focused = root.getRootNode().activeElement;
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    focused?.focus();
    return copied;
  }
}
