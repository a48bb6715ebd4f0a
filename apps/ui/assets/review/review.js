// The episode with boxes on it and its timeline. Streamlit calls the default export whenever it
// draws the page: the first call sets up, later ones update.

import { Boxes } from "./boxes.js";
import { drawCard } from "./card.js";
import { Clips } from "./clip.js";
import { Found } from "./found.js";
import { closeBeside, listenToButtons, listenToKeys, writeHelp } from "./keys.js";
import { Links } from "./links.js";
import { mounted } from "./mounted.js";
import { numberOf } from "./palette.js";
import { allPeople, lanesByPerson, nameOf, People } from "./people.js";
import { read } from "./playable.js";
import { Player } from "./player.js";
import { Source } from "./source.js";
import { Timeline } from "./timeline.js";
import { clock, decimals, onScreen } from "./times.js";
import { Tracks } from "./tracks.js";

const REST_MS = 400; // a place comes into the address once it has rested so long

export class Review {
  constructor(root) {
    this.root = root;
    this.stopper = new AbortController();
    const find = (name) => root.querySelector(name);
    this.parts = {
      stage: find(".stage"), video: find("video"), overlay: find(".overlay"), card: find(".card"), time: find(".time"), range: find(".range"), rate: find(".rate"),
      boxes: find(".boxes"), rows: find(".lanes"), slider: find(".timeline canvas"), live: find(".live"), help: find("dialog"),
    };
    this.picked = -1;
    this.range = { from: null, to: null };
    this.player = new Player(this.parts.video, this.parts.overlay, {
      moved: (seconds) => this.#moved(seconds),
      changed: () => this.#changed(),
      failed: (sentence) => this.source.failed(sentence, () => this.#open()),
    });
    this.source = new Source(find(".notice"), this.player);
    this.timeline = new Timeline(find(".timeline"), {
      seek: (seconds) => { this.player.seek(seconds); this.#rest(); },
      scrub: (seconds) => { this.player.seek(seconds); this.#rest(); },
      pick: (place) => this.pick(place),
    });
    const below = root.parentElement.querySelector(".found");
    this.found = new Found(below, {
      pick: (place) => { this.pick(place); this.#comeIntoSight(); },
      filtered: (shown) => { this.shownTracks = shown; this.timeline.setShown(shown); },
      range: () => this.#markedSeconds(),
    }, this.stopper.signal);
    this.links = new Links(this, (words) => this.#say(words));
    this.clips = new Clips(find(".tools"), (words) => this.#say(words));
    writeHelp(find("dialog tbody"));
    for (const part of [root, below]) listenToKeys(part, this.#actions(), this.stopper.signal);
    this.#listen();
  }

  dispose() {
    this.stopper.abort();
    this.source.dispose();
    this.found.dispose();
    this.opening?.abort();
    this.clips.dispose();
    clearTimeout(this.resting);
    this.links.dispose();
    this.player.dispose();
    this.timeline.dispose();
    this.boxes?.dispose();
  }

  /** What Streamlit hands over at each of its redraws. */
  update({ data }) {
    const wanted = `${data.episode} ${data.run}`;
    if (this.shown !== wanted) {
      this.shown = wanted;
      this.data = data;
      this.found.clear();
      this.#open();
    }
    this.data = data;
    this.timeline.retheme();
  }

  // Loading.

  async #open() {
    this.opening?.abort();
    this.opening = new AbortController();
    const { signal } = this.opening;
    Object.assign(this, { tracks: undefined, run: undefined, picked: -1, shownTracks: null });
    this.player.hide();
    this.timeline.hide();
    this.found.hide();
    this.range = { from: null, to: null };
    this.#drawRange();
    this.#drawCard();
    delete this.root.dataset.tracks;
    this.boxes?.dispose();
    this.source.say("Reading the tracks…");
    const playing = this.source.open(this.data.episode, signal); // beside it: either may take long
    try {
      const people = this.#readPeople(signal); // beside it as well
      const review = await read(`${this.data.run}/review`, signal, "The tracks cannot be read.");
      const rows = await people;
      if (!signal.aborted) this.#show(review, rows); // else another run is wanted meanwhile
    } catch (error) {
      await playing;
      if (!signal.aborted) this.source.say(error.message, ["Try again", () => this.#open()]);
    }
  }

  /** None where the run did not look for them, or where they cannot be had: the tracks can be looked at. */
  async #readPeople(signal) {
    if (!this.data.people) return [];
    try {
      return (await allPeople((path) => read(this.data.run + path, signal, ""))).items;
    } catch {
      return [];
    }
  }

  #show(review, rows) {
    const people = new People(review.tracks.id, rows);
    this.review = review;
    this.parts.rows.parentElement.hidden = !people.known;
    const lanes = this.#lanesOf(review, people);
    this.tracks = new Tracks(review, lanes);
    this.boxes = new Boxes(`${this.data.run}/boxes`, this.tracks, () => {
      this.player.draw();
      if (this.boxes.problem !== null) this.#say(this.boxes.problem);
    });
    const colour = (place) => people.colour(place, this.tracks.ids[place], this.data.colours);
    const picture = (place) => `${this.data.run}/tracks/${this.tracks.ids[place]}/thumbnail`;
    this.run = { review, tracks: this.tracks, people, colour, picture, ends: this.data.ends };
    this.timeline.setOwners(lanes.owners);
    this.player.show(this.tracks, this.boxes, colour, people);
    this.timeline.show(this.tracks, review, colour, picture);
    this.found.show(this.run, this.#isByPerson(people));
    this.parts.slider.setAttribute("aria-valuemax", Math.floor(this.tracks.endOfAll));
    this.root.dataset.tracks = this.tracks.count;
    this.#drawCard();
    this.links.opened();
    this.#moved(this.player.time);
  }

  /** True where timeline and table have a row a person, not a track. */
  #isByPerson(people) {
    return people.known && this.parts.rows.value === "people";
  }

  /** Where the bars are: everybody has lanes of their own, where there are people, else there are few. */
  #lanesOf(review, people) {
    const { tracks } = review;
    if (!this.#isByPerson(people)) return { lane: tracks.lane, count: review.lanes, owners: null };
    const { lane, owners, firsts } = lanesByPerson(people.of, tracks.start_s, tracks.end_s);
    const named = (owner) => (owner < 0 ? people.others : nameOf(people.all[owner]));
    return { lane, count: owners.length, owners: owners.map((owner, i) => (firsts[i] ? named(owner) : null)) };
  }

  // What people do.

  #listen() {
    const { signal } = this.stopper;
    const { parts } = this;
    parts.boxes.addEventListener("change", () => {
      this.player.names = parts.boxes.value;
      this.player.draw();
    }, { signal });
    parts.rows.addEventListener("change", () => {
      if (this.run === undefined) return;
      const { review, tracks, people } = this.run;
      const lanes = this.#lanesOf(review, people);
      tracks.layOut(lanes);
      this.timeline.setOwners(lanes.owners);
      this.timeline.laidOut();
      this.found.list(this.#isByPerson(people));
    }, { signal });
    listenToButtons(this.root, this.#actions(), signal);
    closeBeside(parts.help, signal);
  }

  #actions() {
    const whenShown = (act) => (argument) => (this.tracks === undefined ? undefined : act(argument));
    return {
      toggle: () => this.player.toggle(),
      jump: (seconds) => this.#seek(this.player.time + seconds),
      speed: (direction) => this.player.speed(direction),
      step: whenShown((direction) => { this.player.step(direction).then(() => this.#rest()); }),
      sighting: whenShown((direction) => { this.#toSighting(direction); }),
      track: whenShown((direction) => {
        const next = this.tracks.neighbour(this.picked, this.player.time, direction, this.shownTracks);
        if (next >= 0) this.pick(next);
        else this.#say(direction > 0 ? "There is no later track." : "There is no earlier track.");
      }),
      range: whenShown((side) => this.#setRange(side)),
      clear: () => this.#clear(),
      zoom: whenShown((factor) => { this.timeline.zoom(factor); }),
      fit: whenShown(() => { this.timeline.fit(); }),
      lanes: whenShown((pixels) => this.timeline.scrollBy(pixels)),
      end: whenShown((side) => this.#seek(side * this.tracks.endOfAll)),
      clip: whenShown(() => this.#clip()),
      still: whenShown(() => { this.clips.still(this.data.episode, this.player.time); }),
      help: () => this.parts.help.showModal(),
      close: () => this.parts.help.close(),
      full: () => this.#fullScreen(),
      link: whenShown(() => { this.links.copy(); }),
    };
  }

  #seek(seconds) {
    this.player.seek(Math.min(this.tracks?.endOfAll ?? Infinity, Math.max(0, seconds)));
    this.#rest();
  }

  /** Picks a track and goes to its first sighting, or to another moment of it. */
  pick(place, seconds = null) {
    this.picked = place;
    this.player.picked = place;
    this.timeline.setPicked(place);
    this.found.setPicked(place);
    this.#drawCard();
    const { ids, first, last } = this.tracks;
    const known = this.review.tracks;
    this.#seek(seconds ?? first[place]);
    this.#reveal(first[place]);
    const person = this.run.people.who(place);
    this.#say(
      `Track ${numberOf(ids[place])}${person === undefined ? "" : ` of ${nameOf(person)}`}, ${clock(first[place])} to ${clock(last[place])}, ` +
      `on screen ${onScreen(known.screen_s[place], known.screen_error_s[place])}`,
    );
    this.#rest(true);
  }

  /** Goes to a moment, with no track picked. */
  goTo(seconds) {
    this.#unpick();
    this.#seek(seconds);
    this.#reveal(seconds);
  }

  #reveal(seconds) {
    const { start, end } = this.timeline.view;
    if (seconds < start || seconds > end) {
      const half = (end - start) / 2;
      this.timeline.setView({ start: seconds - half, end: seconds + half });
    }
  }

  async #toSighting(direction) {
    const found = await this.boxes.sighting(this.picked, this.player.time, direction);
    if (found !== null) {
      this.player.video.pause();
      this.#seek(found);
      this.#reveal(found);
    } else if (this.boxes.problem === null) {
      this.#say(direction > 0 ? "There is no later sighting." : "There is no earlier sighting.");
    }
  }

  /** What was asked for from further down is to be seen. */
  #comeIntoSight() {
    this.root.scrollIntoView({ block: "nearest" });
  }

  /** The marked range, with the timeline's end where a side is open; without one, what it shows. */
  #markedSeconds() {
    const { from, to } = this.range;
    const { start, end } = this.timeline.view;
    if (from === null && to === null) return { from: start, to: end };
    return { from: from ?? 0, to: to ?? this.tracks.endOfAll };
  }

  #setRange(side) {
    const range = { ...this.range, [side]: this.player.time };
    if (range.from !== null && range.to !== null && range.from > range.to) {
      range[side === "from" ? "to" : "from"] = null;
    }
    this.range = range;
    this.timeline.setRange(range);
    this.#drawRange();
  }

  #drawRange() {
    const { from, to } = this.range;
    const words = [from, to].map((side) => (side === null ? "…" : clock(side)));
    const long = from === null || to === null ? "" : ` (${decimals(to - from, 1)} s)`;
    this.parts.range.textContent = from === null && to === null ? "" : `${words.join(" – ")}${long}`;
    this.#say(this.parts.range.textContent && `Range ${this.parts.range.textContent}`);
  }

  /** The range, else the picked track. */
  #clip() {
    const { from, to } = this.range;
    const run = this.data.run.split("/").at(-1);
    if (from !== null && to !== null) this.clips.clip(this.data.episode, { from_s: from.toFixed(4), to_s: to.toFixed(4) });
    else if (this.picked >= 0) this.clips.clip(this.data.episode, { run, track: this.tracks.ids[this.picked] });
    else this.clips.tell("Mark a range with I and O, or pick a track.");
  }

  #clear() {
    if (this.range.from !== null || this.range.to !== null) {
      this.range = { from: null, to: null };
      this.timeline.setRange(this.range);
      this.#drawRange();
      return true;
    }
    if (this.picked < 0) return false;
    this.#unpick();
    this.#rest(true);
    return true;
  }

  #unpick() {
    if (this.picked < 0) return;
    this.picked = -1;
    this.player.picked = -1;
    this.timeline.setPicked(-1);
    this.found.setPicked(-1);
    this.player.draw();
    this.#drawCard();
    this.#say("No track is picked.");
  }

  #fullScreen() {
    if (document.fullscreenElement !== null) document.exitFullscreen();
    else this.parts.stage.requestFullscreen().catch(() => this.#say("The browser refuses the full screen."));
  }

  // What is shown.

  #moved(seconds) {
    const { parts, tracks } = this;
    this.timeline?.setPlayhead(seconds, !this.player.paused);
    const end = tracks === undefined ? "" : ` / ${clock(tracks.endOfAll, 0)}`;
    const text = clock(seconds, 2);
    if (this.wrote !== text + end) {
      this.wrote = text + end;
      parts.time.textContent = this.wrote;
      const faces = tracks === undefined ? "" : this.#facesAt(seconds);
      parts.slider.setAttribute("aria-valuenow", seconds.toFixed(2));
      parts.slider.setAttribute("aria-valuetext", `${clock(seconds, 1)}${faces}`);
    }
  }

  #facesAt(seconds) {
    const count = this.tracks.at(seconds).length;
    return `, shot ${this.tracks.shotAt(seconds)}, ${count === 1 ? "one face" : `${count} faces`}`;
  }

  #changed() {
    const { playbackRate } = this.parts.video;
    this.parts.rate.textContent = playbackRate === 1 ? "" : `× ${decimals(playbackRate, playbackRate % 1 ? 2 : 0)}`;
    if (this.spoken !== playbackRate) this.#say(`Speed ${decimals(playbackRate, playbackRate % 1 ? 2 : 0)}`);
    this.spoken = playbackRate;
    if (this.player.paused) this.#rest();
  }

  #drawCard() {
    drawCard(this.parts.card, this.picked, this.run);
  }

  /** Tells it to those who do not see it. */
  #say(words) {
    this.parts.live.textContent = words;
  }

  // Between here and the server.

  /** Has the address name what is picked, and where, once that has rested; not while it plays. */
  #rest(picked = false) {
    this.news ||= picked;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      if (this.tracks === undefined || !(this.news || this.player.paused)) return;
      this.news = false;
      const value = {
        track: this.picked < 0 ? null : this.tracks.ids[this.picked],
        t: Math.round(this.player.time * 1000) / 1000,
      };
      this.links.rested(value);
    }, REST_MS);
  }
}

export default function (component) {
  return mounted(component, ".review", Review);
}
