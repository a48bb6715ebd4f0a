// The player of People: appearances one after another, faces with the names of people.

import { Boxes } from "../review/boxes.js";
import { Player } from "../review/player.js";
import { Source } from "../review/source.js";
import { Tracks } from "../review/tracks.js";
import { clock, counted, decimals } from "../review/times.js";
import { labelOf, shared } from "./model.js";

const MOST = 24; // characters of a name at a box
const NOBODY = "#9aa0ab";

class PeoplePlayer extends Player {
  constructor(video, canvas, hooks) {
    super(video, canvas, hooks);
    this.watched = null;
  }

  personOf(track) {
    return this.persons?.ofTrack.get(this.tracks.ids[track]);
  }

  nameOf(track) {
    const person = this.personOf(track);
    if (person === undefined || person.hidden) return "";
    const label = labelOf(person);
    return label.length > MOST ? `${label.slice(0, MOST)}…` : label;
  }

  isPicked(track) {
    return this.watched !== null && this.personOf(track)?.person_id === this.watched;
  }
}

export class Watch {
  /**
   * @param root the element with the video
   * @param hooks { moved, changed, failed, colour }: another moment is shown, with whether it plays;
   *   another appearance is watched; a sentence; the colour of a person
   */
  constructor(root, hooks) {
    Object.assign(this, { hooks, list: null, at: -1 });
    const find = (name) => root.querySelector(name);
    this.parts = { title: find(".title"), which: find(".which"), time: find(".time"), rate: find(".rate"), on: find(".play-on") };
    this.player = new PeoplePlayer(find("video"), find(".overlay"), {
      moved: (seconds) => this.#moved(seconds),
      changed: () => this.#changed(),
      failed: (sentence) => this.source.failed(sentence, () => this.open(this.episode)),
    });
    this.source = new Source(find(".notice"), this.player);
  }

  dispose() {
    this.source.dispose();
    this.opening?.abort();
    this.boxes?.dispose();
    this.player.dispose();
  }

  /** Plays the episode at this address. */
  open(episode) {
    this.opening?.abort();
    this.opening = new AbortController();
    this.episode = episode;
    return this.source.open(episode, this.opening.signal);
  }

  /** Forgets the run that was shown. */
  hide() {
    this.boxes?.dispose();
    Object.assign(this, { tracks: undefined, list: null, at: -1 });
    this.player.hide();
    this.player.watched = null;
    this.#tell();
  }

  /** @param run path of the run; `review`: answer of `GET …/review` */
  show(run, review) {
    this.tracks = new Tracks(review);
    this.boxes = new Boxes(`${run}/boxes`, this.tracks, () => {
      this.player.draw();
      if (this.boxes.problem !== null) this.hooks.failed(this.boxes.problem);
    });
    this.player.show(this.tracks, this.boxes, (track) => {
      const person = this.player.personOf(track);
      return person === undefined || person.hidden ? NOBODY : this.hooks.colour(person);
    });
  }

  setPeople(people) {
    this.player.persons = people;
    this.player.draw();
  }

  /**
   * Takes up a list of stretches.
   *
   * @param list { title, person, stretches, track }: person is an id, or null; track an id where it is
   *   one track of the person; null ends the list
   * @param at which of them to go to, or null to stay where the player is
   */
  take(list, at = 0, play = false) {
    this.list = list;
    this.player.watched = list?.person ?? null;
    if (list === null) this.at = -1;
    else if (at === null) this.at = this.#near(this.player.time);
    else this.go(at, play);
    this.#tell();
    this.player.draw();
    this.hooks.changed();
  }

  /** Watches the appearances of a person; false where there are none. */
  person(person, at, play) {
    if (person === undefined || person.appearances.length === 0) return false;
    this.take({ title: labelOf(person), person: person.person_id, stretches: person.appearances }, at, play);
    return true;
  }

  /** Watches where two are together; false where they never are. */
  pair(one, other) {
    const stretches = shared(one.appearances, other.appearances);
    if (stretches.length === 0) return false;
    this.take({ title: `${labelOf(one)} with ${labelOf(other)}`, person: null, stretches }, 0, true);
    return true;
  }

  /** What is watched may have become other people, or other stretches. */
  renew(people) {
    const { list } = this;
    if (list === null) return;
    const person = people.byId.get(list.person);
    if (person === undefined || person.appearances.length === 0) this.take(null);
    else if (list.track === undefined) this.person(person, null, false);
  }

  /** To one of the stretches. */
  go(at, play) {
    this.at = at;
    const [start, end] = this.list.stretches[at];
    this.goal = Math.min(start + 0.5 / this.tracks.fps, end); // it may begin between two frames
    this.player.seek(this.goal);
    if (play) this.player.video.play().catch(() => {}); // a browser that wants a click first
    this.#tell();
    this.hooks.changed();
  }

  /** The next stretch, or the one before; false where there is none. */
  step(direction) {
    if (this.list === null) return false;
    const wanted = this.at + direction + (this.between && direction < 0 ? 1 : 0);
    if (wanted < 0 || wanted >= this.list.stretches.length) return false;
    this.go(wanted, !this.player.paused || this.ended === true);
    return true;
  }

  /** The stretch at a moment, or the one before it. */
  #near(seconds) {
    const { stretches } = this.list;
    const next = stretches.findIndex(([start]) => start > seconds + 1 / this.tracks.fps);
    const at = next < 0 ? stretches.length - 1 : next - 1;
    this.between = at < 0 || seconds >= stretches[at][1];
    return at;
  }

  #moved(seconds) {
    const was = this.moment;
    this.moment = seconds;
    if (this.tracks !== undefined && this.list !== null) this.#follow(was, seconds);
    const end = this.tracks === undefined ? "" : ` / ${clock(this.tracks.endOfAll, 0)}`;
    const text = clock(seconds, 2) + end;
    if (this.parts.time.textContent !== text) this.parts.time.textContent = text;
    this.hooks.moved(seconds, !this.player.paused);
  }

  /** Stops at the end of a stretch that plays, or goes on with the next one. */
  #follow(was, seconds) {
    const { player } = this;
    const stretch = this.list.stretches[this.at];
    const frame = 1 / this.tracks.fps;
    if (!player.paused && player.goal === null && stretch !== undefined && was >= stretch[0] - frame && was < stretch[1] && seconds >= stretch[1] - frame / 2) {
      if (this.parts.on.checked && this.step(1)) return;
      player.video.pause();
      // A busy machine tells late: what belongs to somebody else is not left standing.
      if (seconds > stretch[1] + frame) player.seek(stretch[1] - frame);
      this.ended = true;
      return;
    }
    const at = this.#near(seconds);
    if (at === this.at || player.goal !== null && player.goal === this.goal) return;
    this.at = at;
    this.#tell();
    this.hooks.changed();
  }

  #changed() {
    if (!this.player.paused) this.ended = false;
    const { playbackRate } = this.player.video;
    this.parts.rate.textContent = playbackRate === 1 ? "" : `× ${decimals(playbackRate, playbackRate % 1 ? 2 : 0)}`;
    this.hooks.moved(this.player.time, !this.player.paused);
  }

  #tell() {
    const { list } = this;
    this.parts.title.textContent = list?.title ?? "Nobody is watched";
    const stretch = list?.stretches[this.at];
    const number = `${counted(this.at + 1)} of ${counted(list?.stretches.length ?? 0)}`;
    this.parts.which.textContent = list === null ? "Choose a card, a bar or a pair." : stretch === undefined
      ? `0 of ${counted(list.stretches.length)}`
      : `${number} · ${clock(stretch[0])} – ${clock(stretch[1])} (${decimals(stretch[1] - stretch[0], 1)} s)`;
  }
}
