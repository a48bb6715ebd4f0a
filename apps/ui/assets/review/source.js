// The file that is played: asked for, made where there is none, or a sentence in its place.

import { make, read } from "./playable.js";

export class Source {
  /** @param notice the element over the video that has a sentence, a bar and a button */
  constructor(notice, player) {
    Object.assign(this, { notice, player, tries: 0 });
  }

  dispose() {
    this.making?.abort();
  }

  /** Plays the episode at this address, or says why not. `signal`: another one is opened. */
  async open(url, signal) {
    this.making?.abort();
    try {
      await this.#play(url, signal);
    } catch (error) {
      if (!signal.aborted) this.say(error.message, ["Try again", () => this.open(url, signal)]);
    }
  }

  /** The browser refused it. What could not be played it would not ask for again at its address. */
  failed(sentence, again) {
    this.say(sentence, ["Try again", () => {
      this.tries += 1;
      again();
    }]);
  }

  async #play(url, signal) {
    const found = await read(`${url}/playable`, signal, "The video cannot be read.");
    if (found.ready) {
      this.say(null);
      const again = this.tries === 0 ? "" : `?again=${this.tries}`;
      this.player.load(`${url}/${found.path}${again}`);
      return;
    }
    const why = found.why ?? "The browser cannot play this file as it is.";
    this.say(why, ["Make it playable", () => this.#make(url, signal)]);
  }

  async #make(url, signal) {
    this.making = new AbortController();
    const { signal: ended } = this.making;
    const stop = ["Stop", () => this.making.abort()];
    this.say("Making it playable…", stop, 0);
    try {
      await make(`${url}/playable`, ended, (share, waits) => {
        const words = waits ? "Making it playable · waiting for its turn" : "Making it playable…";
        if (!ended.aborted) this.say(words, stop, share);
      });
      await this.#play(url, signal);
    } catch (error) {
      if (signal.aborted) return;
      const sentence = ended.aborted ? "It was stopped." : error.message;
      this.say(sentence, ["Make it playable", () => this.#make(url, signal)]);
    }
  }

  /** A sentence in place of the video, with a button and a bar where they are wanted. */
  say(sentence, action = null, share = undefined) {
    const { notice } = this;
    notice.hidden = sentence === null;
    notice.querySelector("p").textContent = sentence ?? "";
    const button = notice.querySelector("button");
    button.hidden = action === null;
    if (action !== null) {
      button.textContent = action[0];
      button.onclick = action[1];
    }
    const bar = notice.querySelector("progress");
    bar.hidden = share === undefined;
    if (share === null || share === undefined) bar.removeAttribute("value");
    else bar.value = share;
  }
}
