// What is said in place of the people, and of corrections that this run has no place for.

import { several } from "./card.js";

const NOT_THERE = 404;
const MOST = 100; // corrections that are listed
const MOST_WRITTEN = 60; // characters of a name

export class Notices {
  /** @param again reads the people once more */
  constructor(root, again, signal) {
    const find = (name) => root.querySelector(name);
    this.parts = { state: find(".state"), words: find(".state .words"), retry: find(".retry"), way: find(".way"), whole: find(".whole"), unmatched: find(".unmatched") };
    this.parts.retry.addEventListener("click", again, { signal });
  }

  hide() {
    this.parts.state.hidden = true;
    this.parts.whole.hidden = false;
  }

  say(words, { again = false, way = false } = {}) {
    this.parts.words.textContent = words;
    this.parts.retry.hidden = !again;
    this.parts.way.hidden = !way;
    this.parts.state.hidden = false;
    this.parts.whole.hidden = true;
  }

  /** The people cannot be read. `episode`: its path. */
  failed(error, episode) {
    if (error.status !== NOT_THERE) {
      this.say(error.message, { again: true });
      return;
    }
    const query = new URLSearchParams({ episode: decodeURIComponent(episode.split("/").at(-1)) });
    this.parts.way.href = new URL(`./?${query}`, document.baseURI).href;
    const ways = "On Detect/Track take the profile balanced or performance, or switch on “Group tracks into people” under More options, and run the episode again.";
    this.say(`This run has no people. ${error.message}\n${ways}`, { way: true });
  }

  /** Corrections of other runs that could not be applied to this one, and lines of their log that cannot be read. */
  unmatched({ unmatched: corrections, damagedLines }) {
    const box = this.parts.unmatched;
    box.hidden = corrections.length + damagedLines === 0;
    const lost = `${several(corrections.length, "correction", "corrections")} could not be applied to this run`;
    const damaged = `${several(damagedLines, "damaged line", "damaged lines")} of the corrections passed over`;
    box.querySelector("summary").textContent = [corrections.length > 0 && lost, damagedLines > 0 && damaged].filter(Boolean).join("; ");
    box.querySelector("ul").replaceChildren(...corrections.slice(0, MOST).map((one) => Object.assign(document.createElement("li"), {
      textContent: words(one), dir: "auto",
    })));
  }
}

const ACTIONS = { name: "A name", merge: "A merge", move: "Moved tracks", hide: "Somebody hidden", show: "Somebody shown again", decline: "A declined name" };
const REASONS = {
  not_found: "nothing of it is in this run",
  partly_found: "a part of it is not in this run, the rest is applied",
  not_alike: "in its place is another face",
};

function words({ action, name, reason, run_id: run }) {
  const what = name ? `${ACTIONS[action]}, “\u2068${name.slice(0, MOST_WRITTEN)}\u2069”` : ACTIONS[action] ?? action;
  return `${what}, of the run ${run}: ${REASONS[reason] ?? reason}.`;
}
