// The tracks of an opened person, or those that are nobody's: to look at, and to move to another person.

import { numberOf } from "../review/palette.js";
import { drawTrack, several, spoken, trackCard } from "./card.js";
import { labelOf } from "./model.js";
import { Tiles } from "./tiles.js";

const NOBODY = "nobody";
const NEW = "";

export class Opened {
  /**
   * @param root the component's element
   * @param hooks { people, tracks, review, view, edits, watch, closed }: the people; the run's tracks and what
   *   was measured of them; what cards show; corrections; watches a list; told when it closes
   */
  constructor(root, hooks, signal) {
    Object.assign(this, { hooks, id: null });
    const find = (name) => root.querySelector(name);
    this.parts = { bar: find(".opened"), box: find(".tracks"), title: find(".opened .who"), number: find(".opened .number"), to: find(".opened .to"), move: find(".opened .move") };
    this.tiles = new Tiles(this.parts.box, {
      make: (item) => trackCard(item, hooks.view),
      update: (tile, item) => drawTrack(tile, item, hooks.view),
      press: (item, key) => this.#pressed(item, key),
    }, signal);
    find(".opened .back").addEventListener("click", () => this.close(), { signal });
    find(".opened .all").addEventListener("click", () => this.#chooseAll(), { signal });
    this.parts.move.addEventListener("click", () => this.#move(), { signal });
    this.tiles.list.addEventListener("click", (event) => this.#clicked(event), { signal });
  }

  dispose() {
    this.tiles.dispose();
  }

  get isOpen() {
    return this.id !== null;
  }

  /** @param person null for the tracks that are nobody's */
  open(person) {
    this.id = person === null ? NOBODY : person.person_id;
    this.hooks.view.chosenTracks.clear();
    this.parts.box.scrollTop = 0;
    this.parts.bar.hidden = this.parts.box.hidden = false;
    this.refresh();
    this.tiles.focus(this.tiles.items[0]?.key);
  }

  close() {
    if (!this.isOpen) return false;
    const { id } = this;
    this.id = null;
    this.hooks.view.chosenTracks.clear();
    this.parts.bar.hidden = this.parts.box.hidden = true;
    this.tiles.show([]);
    this.hooks.closed(id);
    return true;
  }

  /** Shows what it is now; closes where nothing is left. */
  refresh() {
    if (!this.isOpen) return;
    const people = this.hooks.people();
    const tracks = this.hooks.tracks();
    const person = people.byId.get(this.id);
    const ids = this.id === NOBODY ? tracks.ids.filter((id) => !people.ofTrack.has(id)) : person?.track_ids ?? [];
    if (ids.length === 0) {
      this.close();
      return;
    }
    const { chosenTracks } = this.hooks.view;
    const there = new Set(ids);
    for (const id of chosenTracks) if (!there.has(id)) chosenTracks.delete(id);
    this.person = person ?? null;
    const label = person === undefined ? "Tracks that are nobody's" : labelOf(person).slice(0, 200);
    this.parts.title.textContent = label;
    this.tiles.show(ids.map((track) => ({ key: track, track, times: this.#times(track) })));
    this.#fillTargets(people);
    this.#count();
  }

  #times(track) {
    const tracks = this.hooks.tracks();
    const place = tracks.byId.get(track);
    if (place === undefined) return null;
    const known = this.hooks.review().tracks;
    return { start: tracks.start[place], end: tracks.end[place], seconds: known.screen_s[place], error: known.screen_error_s[place] };
  }

  #fillTargets(people) {
    const { to } = this.parts;
    const before = to.value;
    const others = people.rows.filter((row) => row.person_id !== this.id);
    others.sort((a, b) => (a.name === null) - (b.name === null) || labelOf(a).localeCompare(labelOf(b), undefined, { numeric: true }));
    to.replaceChildren(new Option("a new person", NEW), ...others.map((row) => new Option(spoken(row), row.person_id)));
    if (people.byId.has(before) && before !== this.id) to.value = before;
  }

  #count() {
    const { size } = this.hooks.view.chosenTracks;
    const all = this.tiles.items.length;
    this.parts.number.textContent = size === 0 ? several(all, "track", "tracks") : `${several(size, "track", "tracks")} of ${all} chosen`;
    this.parts.move.disabled = size === 0;
  }

  /** Chooses none; false where none was chosen. */
  clear() {
    const { chosenTracks } = this.hooks.view;
    if (chosenTracks.size === 0) return false;
    chosenTracks.clear();
    this.#redraw();
    return true;
  }

  #chooseAll() {
    const { chosenTracks } = this.hooks.view;
    const isAll = chosenTracks.size === this.tiles.items.length;
    for (const { track } of this.tiles.items) if (isAll) chosenTracks.delete(track); else chosenTracks.add(track);
    this.#redraw();
  }

  #redraw() {
    this.tiles.show(this.tiles.items);
    this.#count();
  }

  focus() {
    this.tiles.focus(this.tiles.current);
  }

  redraw() {
    if (this.isOpen) this.#redraw();
  }

  async #move() {
    const people = this.hooks.people();
    const target = this.parts.to.value === NEW ? null : people.byId.get(this.parts.to.value);
    if (target === undefined) return;
    await this.hooks.edits().move([...this.hooks.view.chosenTracks], target);
  }

  #clicked(event) {
    const tile = event.target.closest("li");
    const what = event.target.closest("[data-do]")?.dataset.do;
    const item = this.tiles.items[this.tiles.ranks.get(tile?.dataset.key)];
    if (item === undefined) return;
    if (what === "watch") this.#watch(item);
    if (what === "choose") this.#choose(item, event.target.checked);
  }

  #pressed(item, key) {
    if (key.toLowerCase() !== "x") return false;
    this.#choose(item, !this.hooks.view.chosenTracks.has(item.track));
    return true;
  }

  #choose({ track }, is) {
    if (is) this.hooks.view.chosenTracks.add(track);
    else this.hooks.view.chosenTracks.delete(track);
    this.#redraw();
  }

  #watch({ track, times }) {
    if (times === null) return;
    const who = this.person === null ? "" : `${labelOf(this.person)} · `;
    this.hooks.watch({
      title: `${who}track ${numberOf(track)}`, person: this.person?.person_id ?? null, track, stretches: [[times.start, times.end]],
    });
  }
}
