// The episodes that are chosen, and what is done with all of them.
import { cancel } from "./asking.js";
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

  /** As one batch; those that were refused stay chosen, with the reason. */
  async #queue() {
    const button = this.find(".queue"), refusals = [];
    button.disabled = true;
    try {
      const items = await this.library.batches.queue([...this.#ids], this.find(".profile").value);
      for (const item of items) {
        if (item.state === "refused") refusals.push(`${this.#name(item.ep_id)}: ${item.error.detail}`);
        else this.#ids.delete(item.ep_id);
      }
      this.library.toast(`${several(items.length - refusals.length, "episode is", "episodes are")} queued.`);
    } catch (error) {
      refusals.push(error.message);
    }
    button.disabled = false;
    await this.#tell(refusals);
  }

  #name(epId) {
    return this.library.cards.get(epId)?.name ?? epId;
  }

  async #tell(refusals) {
    await this.library.load();
    this.library.trouble(refusals.length ? refusals.slice(0, 3).join(" ") : null);
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
        refusals.push(`${this.#name(epId)}: ${error.message}`);
      }
      this.show();
    }
    button.disabled = false;
    const done = epIds.length - refusals.length;
    if (done) this.library.toast(words(done));
    await this.#tell(refusals);
  }
}
