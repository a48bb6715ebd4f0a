// What is said in place of the people, and of corrections that this run has no place for.

import { several } from "./card.js";

const NOT_THERE = 404;
const MOST = 100; // corrections that are listed

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

  /** Corrections of other runs that could not be applied to this one. */
  unmatched(corrections) {
    const box = this.parts.unmatched;
    box.hidden = corrections.length === 0;
    box.querySelector("summary").textContent = `${several(corrections.length, "correction", "corrections")} could not be applied to this run`;
    box.querySelector("ul").replaceChildren(...corrections.slice(0, MOST).map((one) => Object.assign(document.createElement("li"), {
      textContent: words(one), dir: "auto",
    })));
  }
}

function words(one) {
  if (typeof one === "string") return one;
  return [one.detail ?? one.reason ?? one.action, one.name && `“${String(one.name).slice(0, 60)}”`].filter(Boolean).join(" ");
}
