// The card of an episode: made once, then changed where something of it has changed.
import { thumbnail } from "./asking.js";
import { bytes, dayOf, length, several, stateOf } from "./words.js";

const HAS_RESULTS = new Set(["done", "stale"]);
const UNDER_WAY = new Set(["queued", "running"]);
const PEN = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M3 13l1-3 7-7 2 2-7 7z"/></svg>';
const PIN = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M5 2h6l-1 5 2 2H4l2-2zM8 9v5"/></svg>';
const BIN = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M3 4h10M6 4V2h4v2M4 4l1 10h6l1-10"/></svg>';

const TEMPLATE = document.createElement("template");
TEMPLATE.innerHTML = `
<li class="card">
  <label class="choose"><input type="checkbox" /></label>
  <a class="picture" data-go="open" tabindex="-1" aria-hidden="true"><img alt="" decoding="async" /><span class="length"></span></a>
  <div class="body">
    <h3><a class="title" data-go="open" dir="auto"></a></h3>
    <p class="id"></p>
    <p class="facts"></p>
    <p><span class="chip"></span></p>
    <progress max="1" hidden></progress>
    <div class="buttons">
      <a class="button run" data-go="run">Run</a>
      <a class="button results" data-go="results">Results</a>
      <button type="button" class="cancel" data-do="cancel">Cancel</button>
      <button type="button" class="small" data-do="rename">${PEN}</button>
      <button type="button" class="small" data-do="pin">${PIN}</button>
      <button type="button" class="small" data-do="remove">${BIN}</button>
    </div>
  </div>
</li>`;

const address = (view, epId) => new URL(`${view === "results" ? "results" : "./"}?${new URLSearchParams({ episode: epId })}`, document.baseURI).href;

export class Card {
  constructor(entry, pictures) {
    this.pictures = pictures;
    this.root = TEMPLATE.content.firstElementChild.cloneNode(true);
    this.root.dataset.ep = entry.ep_id;
    this.part = (name) => this.root.querySelector(name);
    this.box = this.part(".choose input");
    this.part("img").addEventListener("error", (event) => { event.target.hidden = true; });
    this.update(entry);
  }

  /** Shows an entry; nothing is touched where it is the same as before. */
  update(entry) {
    const text = JSON.stringify(entry);
    if (text === this.text) return;
    const before = this.entry;
    this.text = text;
    this.entry = entry;
    const name = this.name;
    this.box.setAttribute("aria-label", `Choose ${name}`);
    if (entry.video !== null && (!before || before.video_bytes !== entry.video_bytes)) this.pictures.watch(this.part("img"), thumbnail(entry.ep_id));
    this.part("img").hidden = entry.video === null;
    this.part(".length").textContent = length(entry.duration_s);
    this.part(".length").hidden = entry.duration_s === null;
    this.part(".title").textContent = name;
    this.part(".id").textContent = entry.title === null ? "" : entry.ep_id;
    this.part(".id").hidden = entry.title === null;
    this.part(".facts").textContent = this.#facts();
    this.#state();
    this.#names(name);
  }

  get name() {
    return this.entry.title ?? this.entry.ep_id;
  }

  get state() {
    return this.entry.state?.state ?? "never_run";
  }

  get isUnderWay() {
    return UNDER_WAY.has(this.state);
  }

  /** Where it leads: to the results where there are any. */
  get view() {
    return HAS_RESULTS.has(this.state) || this.entry.latest_run_id !== null ? "results" : "run";
  }

  #facts() {
    const { problem, width, height, video, video_bytes: size, result_bytes: results, runs, newest_run: newest, added_at: added } = this.entry;
    if (problem !== null) return `The video cannot be read: ${problem}`;
    const parts = [video === null ? "No video" : width === null ? "" : `${width} × ${height}`, bytes(size)];
    if (runs) parts.push(`${several(runs, "run", "runs")} (${bytes(results)})`);
    if (newest?.tracks !== null && newest?.tracks !== undefined) parts.push(several(newest.tracks, "track", "tracks"));
    parts.push(`added ${dayOf(added)}`);
    return parts.filter(Boolean).join(" · ");
  }

  #state() {
    const [words, share] = stateOf(this.entry.state, this.entry.latest_run_id !== null);
    const chip = this.part(".chip");
    chip.textContent = words;
    chip.dataset.state = this.state;
    const bar = this.part("progress");
    bar.hidden = share === null;
    if (share !== null) {
      bar.value = share;
      bar.setAttribute("aria-label", `Progress of ${this.name}`);
    }
  }

  #names(name) {
    const { ep_id: epId, pinned, video, latest_run_id: latest } = this.entry;
    for (const link of this.root.querySelectorAll("[data-go]")) {
      link.href = address(link.dataset.go === "open" ? this.view : link.dataset.go, epId);
    }
    this.part(".run").hidden = video === null || this.isUnderWay;
    this.part(".run").setAttribute("aria-label", `Run ${name}`);
    this.part(".results").hidden = latest === null;
    this.part(".results").setAttribute("aria-label", `Results of ${name}`);
    this.part(".cancel").hidden = !this.isUnderWay;
    this.part(".cancel").setAttribute("aria-label", `Cancel the run of ${name}`);
    const label = (what, words) => {
      const button = this.part(`[data-do=${what}]`);
      button.setAttribute("aria-label", `${words} ${name}`);
      button.title = words;
    };
    label("rename", "Rename");
    label("pin", pinned ? "Unpin" : "Pin");
    label("remove", "Delete");
    this.part("[data-do=pin]").setAttribute("aria-pressed", String(pinned));
    const frees = this.entry.result_bytes === null ? null : this.entry.video_bytes + this.entry.result_bytes;
    this.frees = frees === null ? `more than ${bytes(this.entry.video_bytes)}` : bytes(frees);
    this.holds = this.entry.runs ? ` with ${several(this.entry.runs, "run", "runs")}` : "";
  }
}
