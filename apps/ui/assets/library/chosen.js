// The episodes that are chosen, and what is done with all of them.
import { cancel, queue } from "./asking.js";
import { several } from "./words.js";

export class Chosen {
  #ids = new Set();

  constructor(library) {
    this.library = library;
    this.find = library.find;
  }

  listen(on) {
    on(".queue", "click", () => this.#queue());
    on(".cancel-chosen", "click", () => this.#cancel());
    on(".clear", "click", () => {
      this.#ids.clear();
      this.show();
    });
    on(".cards", "change", (event) => {
      const card = this.library.cardOf(event);
      if (!card || event.target !== card.box) return;
      if (card.box.checked) this.#ids.add(card.entry.ep_id);
      else this.#ids.delete(card.entry.ep_id);
      this.show();
    });
  }

  forget(epId) {
    this.#ids.delete(epId);
  }

  show() {
    for (const [epId, card] of this.library.cards) {
      const isChosen = this.#ids.has(epId);
      card.root.classList.toggle("is-chosen", isChosen);
      card.box.checked = isChosen;
    }
    this.find(".chosen").hidden = this.#ids.size === 0;
    this.find(".chosen .number").textContent = `${several(this.#ids.size, "episode", "episodes")} chosen`;
    this.find(".cancel-chosen").hidden = this.#underWay().length === 0;
  }

  #underWay() {
    return [...this.#ids].filter((epId) => this.library.cards.get(epId)?.isUnderWay);
  }

  #queue() {
    const profile = this.find(".profile").value;
    const words = (number) => `${several(number, "episode is", "episodes are")} queued.`;
    return this.#each(this.find(".queue"), [...this.#ids], (epId) => queue(epId, profile), words);
  }

  #cancel() {
    const end = (epId) => cancel(epId, this.library.cards.get(epId).entry.state.run_id);
    const words = (number) => `${several(number, "run is", "runs are")} cancelled.`;
    return this.#each(this.find(".cancel-chosen"), this.#underWay(), end, words);
  }

  /** Does it to one after the other; those that were refused stay chosen, with the reason. */
  async #each(button, epIds, action, words) {
    button.disabled = true;
    const refusals = [];
    for (const epId of epIds) {
      try {
        await action(epId);
        this.#ids.delete(epId);
      } catch (error) {
        refusals.push(`${this.library.cards.get(epId)?.name ?? epId}: ${error.message}`);
      }
      this.show();
    }
    button.disabled = false;
    const done = epIds.length - refusals.length;
    if (done) this.library.toast(words(done));
    await this.library.load();
    this.library.trouble(refusals.length ? refusals.slice(0, 3).join(" ") : null);
  }
}
