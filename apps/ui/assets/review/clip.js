// Parts of the episode to take away: a clip of a range or a track, and the frame that is shown.

import { answered, make } from "./playable.js";

/** A file of an address is saved; the server names it. */
function save(url) {
  const link = document.createElement("a");
  link.href = url;
  link.download = "";
  link.click();
  return link;
}

export class Clips {
  /**
   * @param tools the element that shows how it goes on
   * @param say tells words to those who do not see it
   */
  constructor(tools, say) {
    this.say = say;
    this.place = document.createElement("span");
    this.place.className = "taking";
    this.place.hidden = true;
    tools.append(this.place);
  }

  dispose() {
    this.ended?.abort();
    this.place.remove();
  }

  /** A sentence beside the buttons; with parts behind it. */
  tell(words, ...parts) {
    this.place.hidden = false;
    this.place.replaceChildren(words, ...parts);
    this.say(words);
  }

  /**
   * Has a clip made, and saves it. Another wish ends the one before.
   *
   * @param query of the API's `clip`
   */
  async clip(episode, query) {
    const url = `${episode}/clip?${new URLSearchParams(query)}`;
    const bar = Object.assign(document.createElement("progress"), { max: 1 });
    bar.setAttribute("aria-label", "Making the clip");
    const stop = Object.assign(document.createElement("button"), { type: "button", textContent: "Stop" });
    await this.#try(async (ended) => {
      stop.onclick = () => ended.abort();
      this.tell("Making the clip…", bar, stop);
      await make(url, ended.signal, (share, waits) => {
        if (share === null) bar.removeAttribute("value");
        else bar.value = share;
        this.place.firstChild.textContent = waits ? "The clip waits for its turn…" : "Making the clip…";
      }, "The clip could not be made.");
      const again = Object.assign(document.createElement("a"), { href: url, download: "", textContent: "Save again" });
      this.tell("The clip is saved.", again);
      save(url);
    });
  }

  /** Saves the frame of a moment as a PNG. */
  async still(episode, seconds) {
    await this.#try(async (ended) => {
      this.tell("Reading the frame…");
      const url = `${episode}/still?t=${Math.max(0, seconds).toFixed(4)}`;
      const answer = await answered(url, ended.signal, "The frame cannot be read.");
      const picture = URL.createObjectURL(await answer.blob());
      const link = document.createElement("a");
      link.href = picture;
      link.download = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? "still.png";
      link.click();
      setTimeout(() => URL.revokeObjectURL(picture), 60_000);
      this.tell("The frame is saved.");
    });
  }

  async #try(work) {
    this.ended?.abort();
    const ended = new AbortController();
    this.ended = ended;
    try {
      await work(ended);
    } catch (error) {
      if (this.ended !== ended) return; // another wish has taken its place
      this.tell(ended.signal.aborted ? "It was stopped." : error.message);
    }
  }
}
