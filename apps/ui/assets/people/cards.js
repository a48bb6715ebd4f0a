// The cards of people: chosen, named in place, merged, hidden, opened.

import { drawPerson, personCard, several, spoken } from "./card.js";
import { Tiles } from "./tiles.js";

export class Cards {
  /** @param owner has `people`, `view`, `edits`; watches and opens persons */
  constructor(root, owner, signal) {
    Object.assign(this, { owner, view: owner.view });
    const find = (name) => root.querySelector(name);
    this.parts = { box: find(".cards"), bar: find(".chosen"), number: find(".chosen .number"), into: find(".into"), intoLabel: find(".into-label"), merge: find(".chosen [data-action=merge]") };
    this.hideButton = find("[data-action=hideChosen]");
    this.showButton = find("[data-action=showChosen]");
    this.tiles = new Tiles(this.parts.box, {
      make: (item) => personCard(item, this.view),
      update: (tile, item) => this.#update(tile, item),
      press: (item, key) => this.#pressed(item.person, key),
    }, signal);
    const on = (type, act) => this.tiles.list.addEventListener(type, act, { signal });
    on("click", (event) => this.#clicked(event));
    on("keydown", (event) => this.#typed(event));
    on("focusout", (event) => { if (event.target.matches("input.name")) this.#end(event.target, true); });
  }

  dispose() {
    this.tiles.dispose();
  }

  show(people) {
    this.tiles.show(people.map((person) => ({ key: person.person_id, person })));
    this.#bar();
  }

  redraw() {
    this.tiles.show(this.tiles.items);
    this.#bar();
  }

  hide() {
    this.parts.box.hidden = true;
    this.#bar();
  }

  unhide() {
    this.parts.box.hidden = false;
    this.redraw();
  }

  reveal(id) {
    const rank = this.tiles.ranks.get(id);
    if (rank !== undefined && !this.parts.box.hidden) this.tiles.reveal(rank);
  }

  focus(id, part) {
    if (!this.parts.box.hidden) this.tiles.focus(this.tiles.ranks.has(id) ? id : this.tiles.current, part);
  }

  #update(tile, item) {
    drawPerson(tile, item, this.view);
    this.tiles.stops(tile);
  }

  #personOf(event) {
    return this.owner.people?.byId.get(event.target.closest("li")?.dataset.key);
  }

  #clicked(event) {
    const person = this.#personOf(event);
    const what = event.target.closest("[data-do]")?.dataset.do;
    if (person === undefined) return;
    if (what === "watch") this.owner.watchPerson(person);
    else if (what === "choose") this.#choose(person, event.target.checked);
    else if (what === "rename") this.rename(person);
    else if (what === "open") this.owner.open(person);
    else if (what === "confirm") this.owner.suggestions.confirm(person);
    else if (what === "decline") this.owner.suggestions.decline(person);
    else if (what === "hide") this.owner.edits.hide([person], !person.hidden);
  }

  #pressed(person, key) {
    switch (key.length === 1 ? key.toLowerCase() : key) {
      case "x": this.#choose(person, !this.view.chosen.has(person.person_id)); break;
      case "r": case "F2": this.rename(person); break;
      case "o": this.owner.open(person); break;
      case "y": this.owner.suggestions.confirm(person); break;
      case "d": this.owner.suggestions.decline(person); break;
      case "h": this.owner.edits.hide([person], !person.hidden); break;
      default: return false;
    }
    return true;
  }

  // Choosing and merging.

  #choose({ person_id: id }, is) {
    if (is) this.view.chosen.add(id);
    else this.view.chosen.delete(id);
    this.redraw();
  }

  /** Chooses none; false where none was chosen. */
  clear() {
    if (this.view.chosen.size === 0) return false;
    this.view.chosen.clear();
    this.redraw();
    return true;
  }

  get #chosen() {
    return this.owner.people?.rows.filter((row) => this.view.chosen.has(row.person_id)) ?? [];
  }

  #bar() {
    const chosen = this.#chosen;
    const { bar, number, into, intoLabel, merge } = this.parts;
    bar.hidden = chosen.length === 0 || this.parts.box.hidden;
    number.textContent = `${several(chosen.length, "person", "people")} chosen`;
    merge.disabled = chosen.length < 2;
    intoLabel.hidden = chosen.length < 2;
    this.hideButton.hidden = !chosen.some((row) => !row.hidden);
    this.showButton.hidden = !chosen.some((row) => row.hidden);
    const before = into.value;
    const named = chosen.find((row) => row.name !== null) ?? chosen[0];
    into.replaceChildren(...chosen.map((row) => new Option(spoken(row), row.person_id)));
    const isKept = this.wish === before && this.view.chosen.has(before);
    into.value = isKept ? before : named?.person_id ?? "";
    into.onchange = () => { this.wish = into.value; };
  }

  async merge() {
    const chosen = this.#chosen;
    if (chosen.length < 2) return;
    const into = this.owner.people.byId.get(this.parts.into.value) ?? chosen[0];
    if (!(await this.owner.edits.merge(chosen, into))) return;
    this.view.chosen.clear();
    this.redraw();
    this.focus(into.person_id);
  }

  async hideChosen(hidden) {
    const chosen = this.#chosen.filter((row) => (row.hidden === true) !== hidden);
    if (chosen.length === 0 || !(await this.owner.edits.hide(chosen, hidden))) return;
    this.view.chosen.clear();
    this.redraw();
  }

  // Naming.

  rename(person, text = person.name ?? "", wrong = false) {
    this.view.editing = { id: person.person_id, text, wrong };
    this.redraw();
    this.tiles.focus(person.person_id, "input.name");
    this.tiles.shown.get(person.person_id)?.querySelector("input.name")?.select();
  }

  #typed(event) {
    if (!event.target.matches("input.name") || event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    const { id } = this.view.editing ?? {};
    this.#end(event.target, event.key === "Enter");
    this.focus(id, "[data-do=rename]");
  }

  /** The field is left: what it says is the name, unless it is what it was. */
  #end(field, keep) {
    const { editing } = this.view;
    if (editing === null) return;
    this.view.editing = null;
    const person = this.owner.people.byId.get(editing.id);
    const text = field.value.trim();
    this.redraw();
    if (keep && person !== undefined && text !== (person.name ?? "")) this.owner.edits.name(person, text);
  }

  /** A name that the server does not take can be mended. */
  refused({ action, person_ids: ids, name }, canTry) {
    const person = action === "name" && !canTry ? this.owner.people.byId.get(ids[0]) : undefined;
    if (person !== undefined && !this.parts.box.hidden) this.rename(person, name ?? "", true);
  }
}
