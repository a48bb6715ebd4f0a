// Names that are suggested from other episodes of the show: shown on cards, confirmed, declined.

import { ask, Refused } from "../library/asking.js";
import { suggestions as askSuggestions } from "./asking.js";
import { several } from "./card.js";

export class Suggestions {
  /** @param owner has `people`, `passing`, `view`, `edits`, `cards`, `paths`, `say` */
  constructor(root, owner, signal) {
    Object.assign(this, { owner, asked: 0, answer: null, refusal: "" });
    const find = (name) => root.querySelector(`.show-of ${name}`);
    this.parts = { form: root.querySelector(".show-of"), words: find(".words"), label: find(".field"), field: find("input"), edit: find(".edit"), next: find(".next") };
    const on = (part, type, act) => this.parts[part].addEventListener(type, act, { signal });
    on("edit", "click", () => this.#edit(true));
    on("form", "submit", (event) => {
      event.preventDefault();
      this.#keep();
    });
    on("field", "keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Escape") this.#leave();
    });
    on("field", "blur", () => this.#edit(false));
  }

  get #all() {
    return this.owner.view.suggestions;
  }

  clear() {
    this.asked += 1;
    Object.assign(this, { answer: null, refusal: "" });
    this.#all.clear();
    this.#edit(false);
  }

  /** Asks anew; what is shown stays meanwhile, but for who has got a name. */
  async ask() {
    const { owner } = this;
    for (const id of this.#all.keys()) if (owner.people.byId.get(id)?.name !== null) this.#all.delete(id);
    const number = this.asked += 1;
    let answer = null, refusal = "";
    try {
      answer = await askSuggestions(owner.paths.run);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      refusal = error.message;
    }
    if (number !== this.asked || owner.people === undefined) return; // people were corrected since
    Object.assign(this, { answer, refusal });
    this.#all.clear();
    for (const one of answer?.items ?? []) this.#all.set(one.person_id, one);
    owner.cards.redraw();
    this.draw();
  }

  /** Confirms what is suggested for a person, and goes on to the next one. */
  async confirm(person) {
    const suggestion = this.#all.get(person.person_id);
    if (suggestion === undefined) return;
    const { edits, people } = this.owner;
    const next = this.#after(person.person_id);
    // As people are now: the answer may be older than a name that was given since.
    const into = people.rows.find((one) => one.name === suggestion.name && !one.hidden);
    const made = into === undefined ? edits.name(person, suggestion.name) : edits.merge([person], into);
    if (await made) this.#goTo(next);
  }

  async decline(person) {
    const suggestion = this.#all.get(person.person_id);
    if (suggestion === undefined) return;
    const next = this.#after(person.person_id);
    if (await this.owner.edits.decline(person, suggestion.name)) this.#goTo(next ?? person.person_id);
  }

  /** To the next one after the card that has the keyboard, or to the first one. */
  next() {
    const next = this.#after(this.owner.cards.tiles.held);
    if (next === null) this.owner.say("No name is suggested.");
    else this.#goTo(next);
  }

  #after(id) {
    const ids = this.owner.passing.map((one) => one.person_id);
    const at = ids.indexOf(id);
    const inTurn = [...ids.slice(at + 1), ...ids.slice(0, Math.max(0, at))];
    return inTurn.find((one) => this.#all.has(one)) ?? (this.#all.has(id) ? id : null);
  }

  #goTo(id) {
    if (id !== null) this.owner.cards.focus(id);
  }

  // The show.

  /** Tells how many there are among the people who pass the filter. */
  draw() {
    const { label, words, edit, next } = this.parts;
    const { answer, refusal } = this;
    const count = this.owner.passing.filter((one) => this.#all.has(one.person_id)).length;
    next.hidden = count === 0;
    edit.hidden = answer === null || !label.hidden;
    words.textContent = answer === null ? refusal : sentence(answer, count);
  }

  #edit(is) {
    const { label, field, edit, words } = this.parts;
    if (label.hidden === !is) return;
    label.hidden = !is;
    edit.hidden = words.hidden = is;
    if (!is) return;
    field.value = this.answer?.show ?? "";
    field.focus();
    field.select();
  }

  /** Back to the button by which the field was opened: the keyboard has to be somewhere. */
  #leave() {
    this.#edit(false);
    this.parts.edit.focus();
  }

  async #keep() {
    const { field } = this.parts;
    const show = field.value.trim();
    this.#leave();
    if (show === (this.answer?.show ?? "")) return;
    try {
      await ask("PATCH", this.owner.paths.episode, { show: show || null });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.owner.edits.tell(error.message);
      return;
    }
    await this.ask();
  }
}

function sentence({ show, ep_ids: episodes, other_model: others, unreadable, described }, count) {
  if (show === null) return "Of no show: names of other episodes are suggested once it has one.";
  const called = `\u201c\u2068${show}\u2069\u201d`;
  const parts = [];
  if (episodes.length === 0) parts.push("nobody is named in another episode yet.");
  else if (!described) parts.push("this run\u2019s faces are not described any more. Run the episode again to get names suggested.");
  else parts.push(`${count === 0 ? "no name is" : several(count, "name is", "names are")} suggested from ${several(episodes.length, "other episode", "other episodes")}.`);
  if (others.length > 0) parts.push(`${several(others.length, "is", "are")} of another network.`);
  if (unreadable.length > 0) parts.push(`Corrections of ${several(unreadable.length, "episode", "episodes")} cannot be read.`);
  return `${called}: ${parts.join(" ")}`;
}
