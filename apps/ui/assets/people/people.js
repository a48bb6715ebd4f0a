// The people of a run: cards, a timeline with a row a person, who with whom, and the player. Streamlit
// calls the default export whenever it draws the page: the first call sets up, later ones update.

import { closeBeside, listenToButtons, listenToKeys, writeHelp } from "../review/keys.js";
import { mounted } from "../review/mounted.js";
import { colourOf, numberOf } from "../review/palette.js";
import { read } from "../review/playable.js";
import { clock, counted } from "../review/times.js";
import { actionsOf } from "./actions.js";
import { people as askPeople } from "./asking.js";
import { Cards } from "./cards.js";
import { several } from "./card.js";
import { Edits } from "./edits.js";
import { Filter } from "./filter.js";
import { KEYS } from "./keys.js";
import { facesOf, labelOf, People } from "./model.js";
import { Notices } from "./notices.js";
import { Opened } from "./opened.js";
import { Place } from "./place.js";
import { Rows } from "./rows.js";
import { Suggestions } from "./suggestions.js";
import { TILE_KEYS } from "./tiles.js";
import { Matrix } from "./together.js";
import { Watch } from "./watch.js";

const PREFIX = "/files"; // of the page's server; what is asked there is named without it

export class PeopleView {
  constructor(root) {
    this.root = root;
    this.find = (name) => root.querySelector(name);
    this.stopper = new AbortController();
    const { signal } = this.stopper;
    this.people = undefined;
    this.showsMatrix = false;
    this.view = {
      chosen: new Set(), chosenTracks: new Set(), editing: null, watched: null, suggestions: new Map(),
      colour: (person) => colourOf(numberOf(person.person_id), this.data.colours),
      faces: (person, most) => facesOf(person, most, this.data.crops),
      picture: ({ track, frame }) => (frame === null
        ? `${this.data.run}/tracks/${track}/thumbnail`
        : `${this.data.run}/crops/${track}/frame_${String(frame).padStart(6, "0")}.jpg`),
    };
    this.view.pictureOf = ({ ep_id: episode, run_id: run, track_id: track }) => `${PREFIX}/episodes/${encodeURIComponent(episode)}/runs/${encodeURIComponent(run)}/tracks/${track}/thumbnail`;
    this.watch = new Watch(this.find(".right"), {
      moved: (seconds, plays) => this.#moved(seconds, plays),
      changed: () => this.#watched(),
      failed: (sentence) => this.say(sentence),
      colour: this.view.colour,
    });
    const seek = (seconds) => { this.watch.player.seek(seconds); this.place.rest(); };
    this.rows = new Rows(this.find(".rows"), {
      seek, scrub: seek,
      watch: (id, index) => this.watchPerson(this.people.byId.get(id), index, false),
      point: (id) => { this.cards.reveal(id); this.watchPerson(this.people.byId.get(id), 0, false); },
    });
    this.edits = new Edits(root, {
      run: () => this.#asked, people: () => this.people, took: (answer) => this.#take(answer),
      reload: async () => this.#take(await askPeople(this.#asked)),
      refused: (correction, canTry) => this.cards.refused(correction, canTry),
      settled: () => requestAnimationFrame(() => this.#holdFocus()),
    });
    this.suggestions = new Suggestions(root, this, signal);
    this.cards = new Cards(root, this, signal);
    this.opened = new Opened(root, {
      people: () => this.people, tracks: () => this.watch.tracks, review: () => this.review, view: this.view, edits: () => this.edits,
      watch: (list) => { this.watch.take(list, 0, true); this.place.rest(true); },
      closed: (id) => this.#closed(id),
    }, signal);
    this.notices = new Notices(root, () => this.#open(), signal);
    this.matrix = new Matrix(this.find(".matrix"), { pick: (one, other) => this.#watchPair(one, other) }, signal);
    this.filter = new Filter(this.find(".filter"), () => this.#list(), signal);
    this.place = new Place(this.find(".unknown"), {
      names: () => [this.data.episode, this.data.run].map((path) => decodeURIComponent(path.split("/").at(-1))),
      has: (id) => this.people.byId.has(id), end: () => this.watch.tracks.endOfAll,
      go: (place) => this.#goTo(place), now: () => this.#now(),
    });
    writeHelp(this.find("dialog tbody"), KEYS);
    for (const box of root.querySelectorAll(".cards, .tracks")) box.dataset.keys = TILE_KEYS;
    const actions = actionsOf(this);
    listenToKeys(root, actions, signal, KEYS);
    this.#listen(actions);
  }

  dispose() {
    this.stopper.abort();
    this.opening?.abort();
    this.place.dispose();
    this.watch.dispose();
    for (const part of [this.rows, this.cards, this.opened, this.matrix, this.edits]) part.dispose();
  }

  /** What Streamlit hands over at each of its redraws. */
  update({ data }) {
    const wanted = `${data.episode} ${data.run}`;
    const isOther = this.shown !== wanted;
    this.shown = wanted;
    this.data = data;
    if (isOther) this.#open();
    this.rows.retheme();
  }

  get #asked() {
    return this.data.run.slice(PREFIX.length);
  }

  /** Paths of the run and of its episode, as they are asked for. */
  get paths() {
    return { run: this.#asked, episode: this.data.episode.slice(PREFIX.length) };
  }

  // Loading.

  async #open() {
    this.opening?.abort();
    this.opening = new AbortController();
    const { signal } = this.opening;
    delete this.root.dataset.people;
    this.people = undefined;
    this.view.chosen.clear();
    this.suggestions.clear();
    Object.assign(this.view, { editing: null, watched: null });
    this.opened.close();
    this.edits.leave();
    this.watch.hide();
    this.rows.hide();
    this.notices.say("Reading the people…");
    try {
      const answer = await askPeople(this.#asked);
      const review = await read(`${this.data.run}/review`, signal, "The tracks cannot be read.");
      if (signal.aborted) return;
      this.#show(answer, review);
    } catch (error) {
      if (!signal.aborted) this.notices.failed(error, this.data.episode);
    }
  }

  #show(answer, review) {
    this.review = review;
    this.watch.show(this.data.run, review);
    this.watch.open(this.data.episode);
    this.notices.hide();
    this.find(".timeline canvas").setAttribute("aria-valuemax", Math.floor(this.watch.tracks.endOfAll));
    this.#take(answer);
    this.place.opened();
  }

  /** Shows people as the server has them now. */
  #take(answer) {
    this.people = new People(answer);
    const { people } = this;
    for (const id of this.view.chosen) if (!people.byId.has(id)) this.view.chosen.delete(id);
    this.watch.setPeople(people);
    this.#list();
    this.opened.refresh();
    this.watch.renew(people);
    const lost = this.watch.tracks.ids.filter((id) => !people.ofTrack.has(id)).length;
    this.find(".nobody").textContent = `${several(lost, "track", "tracks")} of nobody`;
    this.find(".nobody").hidden = lost === 0;
    this.find(".undo-last").disabled = people.revision === 0;
    this.find(".hidden-words").textContent = people.hiddenCount === 0 ? "Hidden too" : `Hidden too (${counted(people.hiddenCount)})`;
    this.notices.unmatched(people);
    this.suggestions.ask();
    this.root.dataset.people = people.rows.length;
    this.root.dataset.revision = people.revision;
  }

  #list() {
    if (this.people === undefined) return;
    const all = this.people.rows.length;
    this.passing = this.people.passing(this.filter.wanted);
    const { length } = this.passing;
    this.find(".count").textContent = length === all ? several(all, "person", "people") : `${counted(length)} of ${several(all, "person", "people")}`;
    this.cards.show(this.passing);
    this.rows.showPeople(this.passing, this.review, this.view);
    if (this.showsMatrix) this.matrix.show(this.passing, this.view);
    const none = this.find(".none");
    none.hidden = length > 0;
    none.textContent = all === 0 ? "Nobody was found in this run: no face told enough." : "Nobody passes the filter.";
    this.suggestions.draw();
    this.#mark();
  }

  // Watching.

  watchPerson(person, at = 0, play = true) {
    if (!this.watch.person(person, at, play)) return;
    this.place.rest(true);
    if (play) this.find(".stage").scrollIntoView({ block: "nearest" }); // in a narrow window it is above
  }

  #watchPair(one, other) {
    if (!this.watch.pair(one, other)) this.say(`${labelOf(one)} and ${labelOf(other)} are never seen together.`);
  }

  /** Another appearance is watched. */
  #watched() {
    const { list } = this.watch;
    const watched = list?.track ?? list?.person ?? null;
    const isOther = watched !== this.view.watched;
    this.view.watched = watched;
    this.#mark();
    if (!isOther) return;
    this.cards.redraw();
    this.opened.redraw();
  }

  #mark() {
    const { list, at } = this.watch;
    if (this.people !== undefined) this.rows.mark(list?.person ?? null, list?.track === undefined ? at : -1);
  }

  #moved(seconds, plays) {
    if (this.people === undefined) return;
    this.rows.setPlayhead(seconds, plays);
    const slider = this.rows.canvas;
    const second = seconds.toFixed(1);
    if (slider.getAttribute("aria-valuenow") !== second) {
      const present = this.passing.filter((row) => row.appearances.some(([start, end]) => start <= seconds && seconds < end));
      slider.setAttribute("aria-valuenow", second);
      slider.setAttribute("aria-valuetext", [clock(seconds), ...present.slice(0, 5).map(labelOf)].join(", ").slice(0, 300));
    }
    if (!plays) this.place.rest();
  }

  #now() {
    if (this.people === undefined) return null;
    return { person: this.watch.list?.person ?? null, t: this.watch.player.time, plays: !this.watch.player.paused };
  }

  #goTo({ person, t }) {
    const row = person === null ? undefined : this.people.byId.get(person);
    if (row === undefined) this.watch.take(null);
    else {
      this.watchPerson(row, 0, false);
      this.cards.reveal(person);
    }
    if (t !== null || row === undefined) this.watch.player.seek(t ?? 0);
  }

  // What people do.

  #listen(actions) {
    const { signal } = this.stopper;
    listenToButtons(this.root, actions, signal);
    closeBeside(this.find("dialog"), signal);
    document.addEventListener("visibilitychange", () => this.#lookAgain(), { signal });
  }

  /** What had the keyboard may be gone, or disabled: a card has it then. */
  #holdFocus() {
    const focused = this.root.getRootNode().activeElement;
    const isLost = focused === null ? document.activeElement === document.body : focused.disabled || !focused.checkVisibility();
    if (!isLost || this.people === undefined) return;
    if (this.opened.isOpen) this.opened.focus();
    else this.cards.focus(null);
  }

  /** Opens a person, or for null the tracks that are nobody's. */
  open(person) {
    this.cards.hide();
    this.opened.open(person);
  }

  #closed(id) {
    if (this.people === undefined) return;
    this.turnTo(this.showsMatrix);
    this.cards.focus(id);
  }

  /** Shows the pairs, or the cards. */
  turnTo(matrix) {
    this.showsMatrix = matrix;
    if (this.opened.isOpen) {
      this.opened.close(); // which comes back here
      return;
    }
    this.find("[data-action=cards]").setAttribute("aria-pressed", String(!matrix));
    this.find("[data-action=matrix]").setAttribute("aria-pressed", String(matrix));
    this.find(".matrix").hidden = !matrix;
    if (matrix) {
      this.cards.hide();
      this.matrix.show(this.passing, this.view);
    } else this.cards.unhide();
  }

  /** Somebody who comes back sees what others have changed meanwhile. */
  async #lookAgain() {
    if (document.visibilityState !== "visible" || this.people === undefined || this.view.editing !== null) return;
    const { shown } = this;
    const { revision } = this.people;
    try {
      const answer = await askPeople(this.#asked);
      const isSame = this.shown === shown && this.people?.revision === revision && this.view.editing === null;
      if (!isSame) return;
      if ((answer.revision ?? 0) === revision) this.suggestions.ask(); // of other episodes, too
      else this.#take(answer);
    } catch { // what is shown stays; the next correction tells
    }
  }

  /** Tells it to those who do not see it. */
  say(words) {
    this.find(".live").textContent = words;
  }
}

export default function (component) {
  return mounted(component, ".people", PeopleView);
}
