// What was found, below video and timeline: a filter, and the tracks that pass as table and faces.

import { COLUMNS, csvOf, inOrder } from "./columns.js";
import { Faces } from "./faces.js";
import { FilterBar, passing } from "./filter.js";
import { TrackTable } from "./table.js";
import { clock, counted, percent } from "./times.js";

const LONGEST_FIRST = { name: "screen", descending: true };

export class Found {
  /**
   * @param root the element that has filter, table and faces
   * @param hooks { pick, filtered, range }: called with a track's place; with which tracks pass, by
   *   place, or null for all; says which seconds are marked, as { from, to }
   */
  constructor(root, hooks, signal) {
    Object.assign(this, { root, hooks, sort: LONGEST_FIRST, shown: null });
    const find = (name) => root.querySelector(name);
    this.parts = { seen: find(".seen"), count: find(".count"), save: find(".save") };
    this.table = new TrackTable(find(".rows"), { pick: hooks.pick, sort: (name) => this.#sortBy(name) }, signal);
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

  /** @param run { review, tracks, colour, picture, ends } */
  show(run) {
    this.run = run;
    this.root.hidden = false;
    const { with_faces_s: seen, length_s: length } = run.review;
    this.parts.seen.textContent = `Faces are seen in ${percent(seen / length)} of ${clock(length, 0)}`;
    this.#filtered();
  }

  /** Another run has other tracks to look for. */
  clear() {
    this.filter.clear();
    this.sort = LONGEST_FIRST;
  }

  setPicked(place) {
    this.table.setPicked(place);
    this.faces.setPicked(place);
  }

  #sortBy(name) {
    const { largestFirst } = COLUMNS.find((one) => one.name === name);
    const descending = this.sort.name === name ? !this.sort.descending : largestFirst;
    this.sort = { name, descending };
    this.#list();
  }

  #filtered() {
    if (this.run === undefined) return;
    this.shown = passing(this.run.review, this.filter.wanted);
    this.#list();
    const all = this.run.tracks.count;
    const tracks = all === 1 ? "track" : "tracks";
    this.parts.count.textContent = this.order.length === all
      ? `${counted(all)} ${tracks}`
      : `${counted(this.order.length)} of ${counted(all)} ${tracks}`;
    this.parts.save.disabled = this.order.length === 0;
    this.hooks.filtered(this.shown);
  }

  #list() {
    if (this.run === undefined) return;
    this.order = inOrder(this.run, this.shown, this.sort.name, this.sort.descending);
    this.table.show(this.run, this.order, this.sort);
    this.faces.show(this.run, this.order);
  }

  #range() {
    const { from, to } = this.hooks.range();
    return { from: plainClock(from), to: plainClock(to) };
  }

  /** The tracks that pass, in the order of the table, as a file. */
  #save() {
    const blob = new Blob([csvOf(this.run, this.order)], { type: "text/csv" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    const { ep_id: episode, run_id: run } = this.run.review;
    link.download = `${episode}_${run}.seconds.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
}

/** As the fields of the filter read it, in whichever language. */
function plainClock(seconds) {
  return clock(seconds, 2, "en");
}
