// The library: cards of episodes that change in place. Streamlit calls the default export whenever it
// draws the page: the first call sets up, later ones hand over what they are given.
import { mounted } from "../review/mounted.js";
import * as asking from "./asking.js";
import { Batches } from "./batches.js";
import { Card } from "./card.js";
import { CardActions } from "./card_actions.js";
import { Chosen } from "./chosen.js";
import { TrashPanel } from "./dialogs.js";
import { Pictures } from "./pictures.js";
import { SpacePanel } from "./space.js";
import { bytes, several } from "./words.js";

const PAGE = 60; // cards that are asked for at once
const MOST = 1000; // that the server gives at once
const TYPING_MS = 200;
const NEWS_MS = 150; // changes that come together are asked for together
const COUNTING_MS = 1000; // after so long it is asked again where something is still to be counted
// Streamlit makes the component anew when the reader comes back, or changes the theme.
const asked = { q: "", sort: "newest" };

export class Library {
  constructor(root) {
    this.root = root;
    this.find = (name) => root.querySelector(name);
    this.cards = new Map();
    this.shown = PAGE;
    this.total = 0;
    this.turn = 0;
    this.stopper = new AbortController();
    this.pictures = new Pictures();
    this.chosen = new Chosen(this);
    this.actions = new CardActions(this);
    this.batches = new Batches(this);
    this.trash = new TrashPanel(this.find("dialog.trash"), () => this.load());
    this.space = new SpacePanel(this);
    this.end = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.#more(), { rootMargin: "600px" });
    this.end.observe(this.find(".end"));
    this.find(".cards").replaceChildren(); // Streamlit may hand over the place of one that is gone
    this.find(".search").value = asked.q;
    this.find(".sort").value = asked.sort;
    this.#listen();
    this.load();
  }

  dispose() {
    this.stopper.abort();
    this.end.disconnect();
    this.pictures.dispose();
    this.batches.dispose();
    clearTimeout(this.timer);
    this.unsubscribe?.();
    this.unsubscribe = null;
    this.isGone = true;
  }

  /** What Streamlit hands over at each of its redraws. */
  update({ data, setTriggerValue }) {
    this.setTriggerValue = setTriggerValue;
    const profile = this.find(".profile");
    if (profile.length === 1) profile.append(...data.profiles.map((name) => new Option(name, name)));
    if (this.live !== data.live) {
      this.live = data.live;
      this.#subscribe(data.live);
    }
  }

  /** Asks for what is shown now; of several at once the last one counts. */
  async load() {
    const turn = ++this.turn;
    clearTimeout(this.timer);
    const query = { ...asked, limit: Math.min(MOST, this.shown) };
    try {
      const answer = await asking.library(query);
      let items = answer.items;
      while (items.length < Math.min(this.shown, answer.total) && turn === this.turn) {
        const next = await asking.library({ ...query, limit: MOST, offset: items.length });
        if (next.items.length === 0) break;
        items = [...items, ...next.items];
      }
      if (turn !== this.turn || this.isGone) return;
      this.#show(items, answer.total, answer.disk);
      this.#away(null);
      const isAwaited = !answer.disk.counted || items.some((one) => one.video !== null && one.duration_s === null && one.problem === null);
      if (isAwaited) this.#loadSoon(COUNTING_MS);
    } catch (error) {
      if (turn !== this.turn || this.isGone) return;
      this.#away(error.message);
      this.find(".waiting").hidden = true;
    }
  }

  #loadSoon(milliseconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), milliseconds);
  }

  #more() {
    if (this.cards.size === 0 || this.cards.size >= this.total || this.shown > this.cards.size) return;
    this.shown = 2 * this.cards.size; // few questions, however far one scrolls
    this.load();
  }

  #show(items, total, disk) {
    this.total = total;
    const list = this.find(".cards");
    const wanted = new Map(items.map((entry) => [entry.ep_id, entry]));
    const focused = this.root.getRootNode().activeElement;
    for (const [epId, card] of this.cards) {
      if (wanted.has(epId)) continue;
      card.root.remove();
      this.cards.delete(epId);
      this.chosen.forget(epId);
    }
    let before = null;
    for (const [epId, entry] of wanted) {
      const known = this.hub?.episodes.get(epId);
      const current = known ? withState(entry, known) : entry;
      const card = this.cards.get(epId) ?? new Card(current, this.pictures);
      card.update(current);
      this.cards.set(epId, card);
      const place = before === null ? list.firstElementChild : before.nextElementSibling;
      if (place !== card.root) list.insertBefore(card.root, place);
      before = card.root;
    }
    if (focused && focused !== this.root.getRootNode().activeElement && focused.isConnected) focused.focus();
    this.chosen.show();
    this.find(".waiting").hidden = true;
    this.find(".empty").hidden = total > 0;
    this.find(".empty .words").textContent = asked.q ? `Nothing is called “${asked.q}”.` : "There are no episodes yet.";
    for (const part of this.root.querySelectorAll(".empty .demo, .empty .hint")) part.hidden = asked.q !== "";
    const used = [["videos", disk.videos], ["results", disk.results], ["trash", disk.trash], ["caches", disk.caches]];
    const parts = used.filter(([, size]) => size > 0).map(([name, size]) => `${name} ${bytes(size)}`);
    this.find(".disk").textContent = [several(total, "episode", "episodes"), ...parts, `${bytes(disk.free)} free`].join(" · ");
  }

  async #subscribe(path) {
    const { hub, subscribe } = await import(new URL(path, document.baseURI).href);
    if (this.isGone) return;
    this.unsubscribe?.();
    this.hub = hub;
    this.unsubscribe = subscribe(() => this.#news());
  }

  /** Something has changed: cards show it at once; what only the server knows is asked for. */
  #news() {
    if (this.hub.api !== true) return;
    let isNew = this.wasAway || [...this.hub.episodes.keys()].some((epId) => !this.seen?.has(epId));
    isNew ||= this.seen !== undefined && [...this.seen.keys()].some((epId) => !this.hub.episodes.has(epId));
    for (const [epId, card] of this.cards) {
      const state = this.hub.episodes.get(epId);
      const before = card.entry.state;
      if (state === undefined || state === before) continue;
      isNew ||= before !== null && ["run_id", "latest_run_id", "runs", "pinned", "state"].some((name) => before[name] !== state[name]);
      card.update(withState(card.entry, state));
    }
    const isFirst = this.seen === undefined;
    this.seen = new Map(this.hub.episodes);
    this.chosen.show();
    if (isNew && !isFirst) this.#loadSoon(NEWS_MS);
  }

  #listen() {
    const { signal } = this.stopper;
    const on = (name, type, action) => this.find(name).addEventListener(type, action, { signal });
    let typing;
    on(".search", "input", ({ target }) => {
      asked.q = target.value;
      clearTimeout(typing);
      typing = setTimeout(() => this.#again(), TYPING_MS);
    });
    on(".sort", "change", ({ target }) => {
      asked.sort = target.value;
      this.#again();
    });
    on(".open-trash", "click", () => this.trash.open());
    on(".open-space", "click", () => this.space.open());
    this.chosen.listen(on);
    this.actions.listen(on);
    on(".demo", "click", (event) => this.#demo(event.target));
    on(".dismiss", "click", () => { this.find(".toast").hidden = true; });
  }

  #again() {
    this.shown = PAGE;
    this.load();
  }

  cardOf(event) {
    const root = event.target.closest(".card");
    return root === null ? undefined : this.cards.get(root.dataset.ep);
  }

  async #demo(button) {
    button.disabled = true;
    button.textContent = "Drawing the demo…";
    await this.trying(() => asking.demo());
    button.disabled = false;
    button.textContent = "Load the demo";
  }

  /** Does it, and asks for the cards again; or says why it was refused. */
  async trying(action) {
    try {
      await action();
      this.trouble(null);
      await this.load();
    } catch (error) {
      this.trouble(error.message);
    }
  }

  /** Why something was refused: until the next thing is done, however often the cards are asked for. */
  trouble(text) {
    this.refusal = text;
    this.#showTrouble();
  }

  /** Why there is no answer, until there is one. */
  #away(text) {
    this.problem = text;
    this.#showTrouble();
  }

  #showTrouble() {
    const text = this.problem ?? this.refusal ?? null;
    this.find(".trouble").hidden = text === null;
    this.find(".trouble").textContent = text ?? "";
  }

  toast(text, undo) {
    this.find(".toast .words").textContent = text;
    const button = this.find(".undo");
    button.hidden = undo === undefined;
    button.disabled = false;
    button.onclick = () => {
      button.disabled = true;
      this.trying(undo);
    };
    this.find(".toast").hidden = false;
  }
}

function withState(entry, state) {
  return { ...entry, state, title: state.title ?? null, pinned: state.pinned, latest_run_id: state.latest_run_id };
}

export default function (component) {
  return mounted(component, ".library", Library);
}
