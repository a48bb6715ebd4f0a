// Batches: many episodes that were queued at once, each with one line that tells how far all of them are.
import { batches, cancelBatch, queueAll, retryBatch } from "./asking.js";
import { several, timeLeft } from "./words.js";

const ASK_MS = 2000;

export class Batches {
  #known = new Map(); // those that are under way, or were while the page looked on
  #lines = new Map();

  constructor(library) {
    this.library = library;
    this.list = library.find(".batches");
    this.list.replaceChildren();
    this.#ask();
  }

  dispose() {
    clearTimeout(this.timer);
    this.isGone = true;
  }

  /** Queues episodes as one batch; its episodes, with those that were refused and why. */
  async queue(epIds, profile) {
    const batch = await queueAll(epIds, profile);
    this.#keep(batch);
    return batch.items;
  }

  async #ask() {
    clearTimeout(this.timer);
    try {
      const { items } = await batches();
      for (const batch of items) if (batch.state === "active" || this.#known.has(batch.batch_id)) this.#known.set(batch.batch_id, batch);
    } catch {
      // Without Redis there are none; the page says elsewhere that it is away.
    }
    if (!this.isGone) this.#draw();
  }

  #keep(batch) {
    this.#known.set(batch.batch_id, batch);
    this.#draw();
  }

  #draw() {
    for (const [id, line] of this.#lines) {
      if (this.#known.has(id)) continue;
      line.remove();
      this.#lines.delete(id);
    }
    for (const batch of this.#known.values()) this.#drawOne(batch);
    const isOn = [...this.#known.values()].some((batch) => batch.state === "active");
    clearTimeout(this.timer);
    if (isOn) this.timer = setTimeout(() => this.#ask(), ASK_MS);
  }

  #drawOne(batch) {
    const line = this.#lines.get(batch.batch_id) ?? this.#line(batch.batch_id);
    const isOn = batch.state === "active", left = unsuccessful(batch);
    line.querySelector(".words").textContent = sentence(batch);
    line.querySelector("progress").value = batch.progress;
    line.querySelector(".cancel-batch").hidden = !isOn;
    line.querySelector(".retry-batch").hidden = isOn || left === 0;
    line.querySelector(".retry-batch").textContent = `Queue ${several(left, "episode", "episodes")} again`;
    line.querySelector(".dismiss-batch").hidden = isOn;
  }

  #line(id) {
    const line = this.library.find("template.batch").content.firstElementChild.cloneNode(true);
    const on = (name, action) => line.querySelector(name).addEventListener("click", ({ target }) => action(target));
    on(".cancel-batch", (button) => this.#do(button, () => cancelBatch(id)));
    on(".retry-batch", (button) => this.#do(button, () => retryBatch(id)));
    on(".dismiss-batch", () => {
      this.#known.delete(id);
      this.#draw();
    });
    this.#lines.set(id, line);
    this.list.prepend(line);
    return line;
  }

  async #do(button, action) {
    button.disabled = true;
    try {
      this.#keep(await action());
    } catch (error) {
      this.library.trouble(error.message);
    }
    button.disabled = false;
  }
}

const unsuccessful = ({ counts }) => ["failed", "cancelled", "refused"].reduce((sum, state) => sum + (counts[state] ?? 0), 0);

function sentence(batch) {
  const { counts, total, state } = batch;
  const done = counts.success ?? 0;
  if (state === "success") return `${several(total, "episode is", "episodes are")} done.`;
  const parts = [`${done} of ${several(total, "episode", "episodes")} done`];
  for (const [name, words] of [["failed", "failed"], ["refused", "refused"], ["cancelled", "cancelled"]]) {
    if (counts[name]) parts.push(`${counts[name]} ${words}`);
  }
  if (state === "active" && batch.eta_sec) parts.push(timeLeft(batch.eta_sec));
  return `${parts.join(", ")}.`;
}
