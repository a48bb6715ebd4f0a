// What was found, below video and timeline: a filter, and the tracks that pass as table and faces.

import { columnsOf, csvOf, inOrder } from "./columns.js";
import { Faces } from "./faces.js";
import { FilterBar, passing } from "./filter.js";
import { numberOf } from "./palette.js";
import { nameOf } from "./people.js";
import { RowTable } from "./table.js";
import { clock, counted, percent } from "./times.js";

const LONGEST_FIRST = { tracks: { name: "screen", descending: true }, people: { name: "screen", descending: true } };

export class Found {
  /**
   * @param root the element that has filter, table and faces
   * @param hooks { pick, filtered, range }: called with a track's place; with which tracks pass, by
   *   place, or null for all; says which seconds are marked, as { from, to }
   */
  constructor(root, hooks, signal) {
    Object.assign(this, { root, hooks, sorts: LONGEST_FIRST, shown: null, ofPeople: false });
    const find = (name) => root.querySelector(name);
    this.parts = { seen: find(".seen"), count: find(".count"), save: find(".save") };
    this.table = new RowTable(find(".rows"), {
      pick: (place) => hooks.pick(this.ofPeople ? this.#firstOf(place) : place),
      sort: (name) => this.#sortBy(name),
    }, signal);
    this.faces = new Faces(find(".faces"), { pick: hooks.pick }, signal);
    this.filter = new FilterBar(find("form"), {
      changed: () => this.#filtered(),
      range: () => this.#range(),
    }, signal);
    this.parts.save.addEventListener("click", () => this.#save(), { signal });
    this.hide();
  }

  dispose() {
    this.table.dispose();
  }

  /** Forgets the run that was shown. */
  hide() {
    this.run = undefined;
    this.root.hidden = true;
    this.table.hide();
    this.faces.hide();
  }

  /**
   * @param run { review, tracks, people, colour, picture, ends }
   * @param ofPeople the table has people, not tracks
   */
  show(run, ofPeople) {
    Object.assign(this, { run, ofPeople });
    this.root.hidden = false;
    const { with_faces_s: seen, length_s: length } = run.review;
    this.parts.seen.textContent = `Faces are seen in ${percent(seen / length)} of ${clock(length, 0)}`;
    this.#filtered();
  }

  /** Another run has other tracks to look for. */
  clear() {
    this.filter.clear();
    this.sorts = LONGEST_FIRST;
  }

  /** Has the table list people, or tracks. */
  list(ofPeople) {
    this.ofPeople = ofPeople;
    this.#list();
  }

  setPicked(place) {
    this.picked = place;
    this.table.setPicked(this.#rowOf(place));
    this.faces.setPicked(place);
  }

  /** The row of a track. */
  #rowOf(place) {
    return this.ofPeople && place >= 0 ? this.run.people.of[place] : place;
  }

  /** The first track of a person that passes the filter. */
  #firstOf(person) {
    const { people, tracks } = this.run;
    const passed = people.tracks[person].filter((place) => this.shown === null || this.shown[place] === 1);
    return passed.reduce((a, b) => (tracks.first[b] < tracks.first[a] ? b : a));
  }

  get #sort() {
    return this.sorts[this.ofPeople ? "people" : "tracks"];
  }

  #sortBy(name) {
    const { largestFirst } = columnsOf(this.run, this.ofPeople).find((one) => one.name === name);
    const descending = this.#sort.name === name ? !this.#sort.descending : largestFirst;
    this.sorts = { ...this.sorts, [this.ofPeople ? "people" : "tracks"]: { name, descending } };
    this.#list();
  }

  #filtered() {
    if (this.run === undefined) return;
    this.shown = passing(this.run.review, this.filter.wanted);
    this.#list();
    const all = this.run.tracks.count;
    const shown = this.order.length;
    const tracks = all === 1 ? "track" : "tracks";
    this.parts.count.textContent = shown === all ? `${counted(all)} ${tracks}` : `${counted(shown)} of ${counted(all)} ${tracks}`;
    this.parts.save.disabled = shown === 0;
    this.hooks.filtered(this.shown);
  }

  #list() {
    if (this.run === undefined) return;
    const { run } = this;
    const passed = Array.from(run.tracks.byFirst).filter((place) => this.shown === null || this.shown[place] === 1);
    this.order = this.#ordered(passed, false);
    this.rows = this.ofPeople ? this.#ordered(this.#peopleOf(passed), true) : this.order;
    const row = this.ofPeople
      ? { label: (i) => nameOf(run.people.all[i]), colour: (i) => run.colour(run.people.tracks[i][0]) }
      : { label: (i) => `Track ${numberOf(run.tracks.ids[i])}`, colour: run.colour };
    this.table.show(run, this.rows, this.#sort, columnsOf(run, this.ofPeople), row);
    this.table.setPicked(this.#rowOf(this.picked ?? -1));
    this.faces.show(run, this.order);
  }

  /** @param places of tracks, or of people */
  #ordered(places, ofPeople) {
    const { name, descending } = this.sorts[ofPeople ? "people" : "tracks"];
    const column = columnsOf(this.run, ofPeople).find((one) => one.name === name);
    return inOrder(this.run, places, column, descending);
  }

  /** Those of whom any track passes. */
  #peopleOf(places) {
    const passed = new Set(places.map((place) => this.run.people.of[place]));
    return this.run.people.all.map((_, person) => person).filter((person) => passed.has(person));
  }

  #range() {
    const { from, to } = this.hooks.range();
    return { from: plainClock(from), to: plainClock(to) };
  }

  /** What the table has, in its order, as a file. */
  #save() {
    const blob = new Blob([csvOf(this.run, this.rows, this.ofPeople)], { type: "text/csv" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    const { ep_id: episode, run_id: run } = this.run.review;
    link.download = `${episode}_${run}.${this.ofPeople ? "people" : "seconds"}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
}

/** As the fields of the filter read it, in whichever language. */
function plainClock(seconds) {
  return clock(seconds, 2, "en");
}
