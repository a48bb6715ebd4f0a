// Two runs of an episode above each other, and what they have found differently. Streamlit calls the
// default export whenever it draws the page.

import { cell, optionRows, remarksOf, signed, totalRows } from "./difference_tables.js";
import { kindsOf, nextRow, rowsOf } from "./differing.js";
import { mounted } from "./mounted.js";
import { numberOf } from "./palette.js";
import { read } from "./playable.js";
import { Timeline } from "./timeline.js";
import { clock, decimals, onScreen } from "./times.js";
import { Tracks } from "./tracks.js";

const AT_ONCE = 100; // rows of the table
const SIDES = ["a", "b"];
const SHARED = "#838896"; // 3:1 and more to both themes' backgrounds
const PLACES_OF_COLOURS = { a: 0, b: 6, differs: 1 }; // in the page's colours of tracks
const KINDS = {
  only_a: "Track only in A", only_b: "Track only in B", differs: "Seconds or parts differ",
  faces_a: "Only A sees faces", faces_b: "Only B sees faces",
};
const MOVES = { ArrowLeft: -0.02, ArrowRight: 0.02 }; // shares of what is in sight

/** A timeline that shows the same seconds as its partner. */
class LinkedTimeline extends Timeline {
  setView(view) {
    const moved = super.setView(view);
    if (moved) this.partner?.setView(this.view);
    return moved;
  }
}

/** Stripes, so that colour alone does not tell. `slope`: 1 or -1 are diagonals, 0 upright. */
function stripes(colour, slope) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const context = tile.getContext("2d");
  context.fillStyle = colour;
  context.globalAlpha = 0.45;
  context.fillRect(0, 0, 8, 8);
  Object.assign(context, { globalAlpha: 1, strokeStyle: colour, lineWidth: 3 });
  context.beginPath();
  for (const x of [-8, 0, 8]) {
    context.moveTo(x + (slope < 0 ? 8 : slope === 0 ? 4 : 0), 0);
    context.lineTo(x + (slope > 0 ? 8 : slope === 0 ? 4 : 0), 8);
  }
  context.stroke();
  return tile;
}

export class Differences {
  constructor(root) {
    this.root = root;
    this.stopper = new AbortController();
    this.find = (name) => root.querySelector(name);
    this.cursor = 0;
    this.timelines = Object.fromEntries(SIDES.map((side) => [side, this.#timeline(side)]));
    this.timelines.a.partner = this.timelines.b;
    this.timelines.b.partner = this.timelines.a;
    this.#listen();
    // A tab that nobody looks at costs nothing.
    this.watching = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) this.#load();
    });
    this.watching.observe(root);
  }

  dispose() {
    this.stopper.abort();
    this.opening?.abort();
    this.watching.disconnect();
    for (const side of SIDES) this.timelines[side].dispose();
  }

  update({ data }) {
    this.data = data;
    if (this.wanted !== data.differences) {
      this.wanted = data.differences;
      this.loaded = false;
      this.opening?.abort();
      this.#show(null);
      if (this.root.checkVisibility?.() ?? true) this.#load();
    }
    for (const side of SIDES) this.timelines[side].retheme();
  }

  #timeline(side) {
    const seek = (seconds) => this.#moveTo(seconds);
    return new LinkedTimeline(this.find(`[data-side=${side}] .timeline`), {
      seek, scrub: seek, pick: (place) => this.#pick(side, place),
    });
  }

  // Loading.

  async #load() {
    if (this.loaded || this.data === undefined) return;
    this.loaded = true;
    this.opening = new AbortController();
    const { signal } = this.opening;
    this.#notice("Reading what the runs have found…");
    try {
      const wanted = SIDES.map((side) => read(`${this.data.runs[side]}/review`, signal, "A run cannot be read."));
      for (const one of wanted) one.catch(() => {}); // told below
      const found = await read(this.data.differences, signal, "The runs cannot be compared.");
      const reviews = await Promise.all(wanted);
      this.#show(found, reviews);
    } catch (error) {
      if (!signal.aborted) this.#notice(error.message, true);
    }
  }

  #notice(sentence, failed = false) {
    this.find(".notice").textContent = sentence ?? "";
    this.find(".notice").hidden = sentence === null;
    this.find(".again").hidden = !failed;
    this.find(".body").hidden = sentence !== null;
  }

  #show(found, reviews) {
    this.found = found;
    delete this.root.dataset.rows;
    if (found === null) return;
    this.#notice(null);
    this.rows = rowsOf(found);
    this.tracks = Object.fromEntries(SIDES.map((side, place) => [side, new Tracks(reviews[place])]));
    const end = Math.max(...SIDES.map((side) => this.tracks[side].endOfAll));
    for (const [place, side] of SIDES.entries()) {
      this.tracks[side].endOfAll = end;
      const { timeline, ids } = { timeline: this.timelines[side], ids: this.tracks[side].ids };
      timeline.hide();
      timeline.show(this.tracks[side], reviews[place], this.#colours(side), (one) => this.#picture(side, ids[one]));
      timeline.canvas.setAttribute("aria-valuemax", end.toFixed(1));
    }
    this.find(".chosen").textContent = "";
    this.#drawFacts();
    this.#drawKinds();
    this.#drawRows(AT_ONCE);
    this.#moveTo(0);
    this.root.dataset.rows = this.rows.length;
  }

  #picture(side, track) {
    return `${this.data.runs[side]}/tracks/${track}/thumbnail`;
  }

  #colours(side) {
    const colour = (name) => this.data.colours[PLACES_OF_COLOURS[name]];
    const tiles = { only: stripes(colour(side), side === "a" ? 1 : -1), differs: stripes(colour("differs"), 0) };
    const named = [[side, tiles.only], ["differs", tiles.differs]];
    for (const [name, tile] of named) this.find(`.key.${name}`).style.setProperty("--fill", `url(${tile.toDataURL()})`);
    this.find(".key.both").style.setProperty("--fill", SHARED);
    const { context } = this.timelines[side];
    const fills = { both: SHARED };
    for (const [kind, tile] of Object.entries(tiles)) fills[kind] = context.createPattern(tile, "repeat");
    const kinds = kindsOf(this.found, side);
    return (place) => fills[kinds.get(this.tracks[side].ids[place]) ?? "both"];
  }

  // What people do.

  #listen() {
    const { signal } = this.stopper;
    this.root.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button === null) return;
      if (button.dataset.step !== undefined) this.#step(Number(button.dataset.step));
      else if (button.dataset.zoom !== undefined) this.#zoom(Number(button.dataset.zoom));
      else if (button.dataset.row !== undefined) this.#go(this.rows[Number(button.dataset.row)]);
      else if (button.classList.contains("more")) this.#drawRows(this.drawn + AT_ONCE);
      else if (button.classList.contains("again")) {
        this.loaded = false;
        this.#load();
      }
    }, { signal });
    this.find(".kind").addEventListener("change", () => this.#drawRows(AT_ONCE), { signal });
    this.root.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !event.target.matches(".timeline canvas")) return;
      if (this.#key(event.key)) event.preventDefault();
    }, { signal });
  }

  #key(key) {
    const { view } = this.timelines.a;
    if (key in MOVES) this.#moveTo(this.cursor + MOVES[key] * (view.end - view.start));
    else if (key === "Home") this.#moveTo(0);
    else if (key === "End") this.#moveTo(this.tracks.a.endOfAll);
    else if (key === "n" || key === "p") this.#step(key === "n" ? 1 : -1);
    else if (key === "+" || key === "=") this.#zoom(0.5);
    else if (key === "-") this.#zoom(2);
    else if (key === "0") this.#zoom(0);
    else return false;
    return true;
  }

  #zoom(factor) {
    if (factor === 0) this.timelines.a.fit();
    else this.timelines.a.zoom(factor, this.cursor);
  }

  #step(direction) {
    const row = nextRow(this.#chosenRows(), this.cursor, direction);
    if (row !== undefined) this.#go(row);
    else this.find(".chosen").textContent = direction > 0 ? "There is no later difference." : "There is no earlier difference.";
  }

  /** To a difference: the cursor, the view, its tracks, and a sentence with the ways to it. */
  #go(row) {
    const long = row.end - row.start;
    const { start, end } = this.timelines.a.view;
    if (row.start < start || row.end > end || end - start > 40 * long + 60) {
      const span = Math.max(10, 3 * long);
      const middle = (row.start + row.end) / 2;
      this.timelines.a.setView({ start: middle - span / 2, end: middle + span / 2 });
    }
    this.#moveTo(row.start);
    for (const side of SIDES) {
      this.timelines[side].setPicked(row[side].length > 0 ? this.tracks[side].byId.get(row[side][0]) ?? -1 : -1);
    }
    this.#tell(KINDS[row.kind], row.start, row.end, row.a, row.b);
  }

  #pick(side, place) {
    const tracks = this.tracks[side];
    const name = tracks.ids[place];
    const group = this.found.matched.find((one) => one[side].includes(name)) ?? { a: [], b: [], [side]: [name] };
    for (const one of SIDES) {
      const partner = one === side ? place : this.tracks[one].byId.get(group[one][0]) ?? -1;
      this.timelines[one].setPicked(partner);
    }
    this.#moveTo(tracks.first[place]);
    const words = group.a.length > 0 && group.b.length > 0 ? "In both" : KINDS[`only_${side}`];
    this.#tell(words, tracks.first[place], tracks.last[place], group.a, group.b);
  }

  #moveTo(seconds) {
    this.cursor = Math.min(this.tracks.a.endOfAll, Math.max(0, seconds));
    for (const side of SIDES) {
      const timeline = this.timelines[side];
      timeline.setPlayhead(this.cursor, true);
      timeline.canvas.setAttribute("aria-valuenow", this.cursor.toFixed(1));
      const count = this.tracks[side].at(this.cursor).length;
      const faces = count === 1 ? "one face" : `${count} faces`;
      timeline.canvas.setAttribute("aria-valuetext", `${clock(this.cursor)}, ${faces}`);
    }
  }

  #tell(words, start, end, a, b) {
    const line = `${words}, ${clock(start)} – ${clock(end)}. `;
    this.find(".chosen").replaceChildren(line, ...this.#links({ start, a, b, kind: "" }));
  }

  /** To the results of a run at a track's first sighting, or at a moment. */
  #links(row) {
    const made = [];
    for (const side of SIDES) {
      for (const name of row[side]) {
        const place = this.tracks[side].byId.get(name);
        const seconds = place === undefined ? row.start : this.tracks[side].first[place];
        made.push(this.#link(side, `${side.toUpperCase()} · track ${numberOf(name)}`, seconds, name));
      }
      if (row[side].length === 0) {
        made.push(this.#link(side, `${side.toUpperCase()} at ${clock(row.start)}`, row.start, null));
      }
    }
    return made;
  }

  #link(side, words, seconds, track) {
    const query = { episode: this.data.episode, run: this.found[side].run_id };
    if (track !== null) query.track = track;
    query.t = Math.max(0, seconds).toFixed(3);
    const link = cell("a", words);
    link.href = new URL(`${this.data.results}?${new URLSearchParams(query)}`, document.baseURI).href;
    return link;
  }

  // Tables.

  #drawFacts() {
    const [options, remarks] = [optionRows(this.found, this.data.labels), remarksOf(this.found)];
    this.find(".totals tbody").replaceChildren(...totalRows(this.found));
    this.find(".options tbody").replaceChildren(...options);
    this.find(".options").hidden = options.length === 0;
    this.find(".remarks").textContent = remarks;
    this.find(".remarks").hidden = remarks === "";
  }

  #drawKinds() {
    const counts = Object.keys(KINDS).map((kind) => [kind, this.rows.filter((row) => row.kind === kind).length]);
    const option = (value, words) => Object.assign(cell("option", words), { value });
    this.find(".kind").replaceChildren(
      option("", `all differences (${decimals(this.rows.length, 0)})`),
      ...counts.filter(([, count]) => count > 0).map(([kind, count]) => option(kind, `${KINDS[kind]} (${decimals(count, 0)})`)),
    );
  }

  #chosenRows() {
    const kind = this.find(".kind").value;
    return kind === "" ? this.rows : this.rows.filter((row) => row.kind === kind);
  }

  #drawRows(count) {
    const rows = this.#chosenRows();
    this.drawn = Math.min(count, rows.length);
    this.find(".rows tbody").replaceChildren(...rows.slice(0, this.drawn).map((row) => this.#row(row)));
    this.find(".scroll").hidden = rows.length === 0;
    this.find(".more").hidden = this.drawn === rows.length;
    this.find(".count").textContent = rows.length === 0
      ? "The runs have found the same."
      : this.drawn < rows.length ? `The first ${decimals(this.drawn, 0)} of ${decimals(rows.length, 0)}` : "";
  }

  #row(row) {
    const when = Object.assign(cell("button", `${clock(row.start)} – ${clock(row.end)}`), { type: "button", title: "Show it on the timelines" });
    when.dataset.row = this.rows.indexOf(row);
    const other = row.kind === "only_a" ? "B" : "A";
    const what = [KINDS[row.kind], ...(row.unseen ? [cell("small", `${other} has not looked at these frames`)] : [])];
    const seconds = row.kind === "differs" ? signed(row.seconds, row.error) : onScreen(row.seconds, row.error);
    return cell("tr", cell("th", ...what), cell("td", when), cell("td", seconds), cell("td", ...this.#links(row)));
  }
}

export default function (component) {
  return mounted(component, ".differences", Differences);
}
