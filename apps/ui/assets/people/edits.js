// Corrections: made one after the other, told, undone; where somebody else was faster nothing is lost.

import { Refused } from "../library/asking.js";
import { correct } from "./asking.js";
import { several } from "./card.js";
import { labelOf } from "./model.js";

const CONFLICT = 409;
const TOLD_MS = 10_000;
const MOST_TOLD = 5; // of what somebody else has changed
const MOST_WRITTEN = 60; // characters of a name in a sentence

/** As a part of a sentence, whatever the direction that it is read in. */
const quoted = (name) => `“\u2068${name.length > MOST_WRITTEN ? `${name.slice(0, MOST_WRITTEN)}…` : name}\u2069”`;

export class Edits {
  /**
   * @param root the component's element
   * @param hooks { run, people, took, reload, refused, settled }: path of the run; the people that are seen;
   *   takes an answer; reads the people anew; told of a correction that was not made, and whether it can be tried again; told after each
   */
  constructor(root, hooks) {
    const find = (name) => root.querySelector(name);
    this.hooks = hooks;
    this.parts = {
      toast: find(".toast"), told: find(".toast .words"), undo: find(".toast .undo"),
      trouble: find(".trouble"), what: find(".trouble .what"), wish: find(".trouble .wish"), again: find(".trouble .again"),
    };
    this.last = Promise.resolve(); // the correction that is on its way
    this.parts.undo.onclick = () => this.undo();
    find(".toast .dismiss").onclick = () => { this.parts.toast.hidden = true; };
    find(".trouble .leave").onclick = () => this.leave();
    this.parts.again.onclick = () => this.#again();
  }

  name(person, text) {
    const name = text === "" ? null : text;
    const words = name === null ? `${quoted(labelOf(person))} has no name now.` : `${quoted(labelOf(person))} is called ${quoted(name)}.`;
    return this.make({ action: "name", person_ids: [person.person_id], name }, words + this.#alike(person, name));
  }

  /** What is to be said where somebody else has the name already. */
  #alike(person, name) {
    const same = (one) => one.name?.trim().toLowerCase() === name?.trim().toLowerCase();
    const other = name !== null && this.hooks.people().rows.some((one) => one.person_id !== person.person_id && same(one));
    return other ? " Somebody else has that name: if they are one person, choose both and merge them." : "";
  }

  merge(people, into) {
    const ids = [into, ...people.filter((one) => one !== into)].map((one) => one.person_id);
    return this.make({ action: "merge", person_ids: ids }, `${several(ids.length, "person is", "people are")} one: ${quoted(labelOf(into))}.`);
  }

  move(tracks, person) {
    const to = person === null ? "a new person" : quoted(labelOf(person));
    const words = `${several(tracks.length, "track is", "tracks are")} moved to ${to}.`;
    return this.make({ action: "move", track_ids: tracks, person_ids: person === null ? [] : [person.person_id] }, words);
  }

  hide(people, hidden) {
    const who = people.length === 1 ? quoted(labelOf(people[0])) : several(people.length, "person", "people");
    const fields = { action: hidden ? "hide" : "show", person_ids: people.map((one) => one.person_id) };
    return this.make(fields, `${who} ${people.length === 1 ? "is" : "are"} ${hidden ? "hidden" : "shown again"}.`);
  }

  decline(person, name) {
    const words = `${quoted(name)} is no more suggested for ${quoted(labelOf(person))}.`;
    return this.make({ action: "decline", person_ids: [person.person_id], name }, words);
  }

  undo() {
    return this.make({ action: "undo" }, "The last correction is undone.");
  }

  /**
   * Makes a correction, after those that are on their way.
   *
   * @param words that tell of it once it is made
   * @returns whether it was made
   */
  make(correction, words) {
    this.last = this.last.catch(() => {}).then(() => this.#make(correction, words));
    this.last.finally(() => this.hooks.settled()).catch(() => {});
    return this.last;
  }

  async #make(correction, words) {
    this.parts.trouble.hidden = true;
    const { revision } = this.hooks.people();
    try {
      this.hooks.took(await correct(this.hooks.run(), { revision, ...correction }));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      await this.#refused(error, { correction, words });
      return false;
    }
    this.wanted = null;
    this.#toast(words, correction.action !== "undo");
    return true;
  }

  async #refused(error, wanted) {
    const before = this.hooks.people();
    const isConflict = error.status === CONFLICT && Array.isArray(error.value?.changed);
    const canTry = isConflict ? wanted.correction.action !== "undo" : error.status === 0 || error.status >= 500;
    this.wanted = canTry ? wanted : null;
    let what = error.message;
    if (isConflict) {
      what = `Somebody else has changed the people meanwhile: ${told(error.value.changed, before)}.`;
      try {
        await this.hooks.reload();
      } catch (problem) {
        what += ` ${problem.message}`;
      }
    }
    this.#trouble(what, `Not done yet: ${wish(wanted.correction, before)}.`, canTry);
    this.hooks.refused(wanted.correction, canTry);
  }

  #again() {
    const { wanted } = this;
    if (wanted === null || wanted === undefined) return;
    this.make(wanted.correction, wanted.words);
  }

  dispose() {
    clearTimeout(this.telling);
  }

  leave() {
    this.wanted = null;
    this.parts.trouble.hidden = true;
  }

  /** Says what went wrong, where it was no correction. */
  tell(sentence) {
    this.wanted = null;
    this.#trouble(sentence, "", false);
  }

  #trouble(what, wish, canTry) {
    const { parts } = this;
    parts.what.textContent = what;
    parts.wish.textContent = wish;
    parts.again.hidden = !canTry;
    parts.toast.hidden = true;
    parts.trouble.hidden = false;
  }

  #toast(words, canUndo) {
    const { parts } = this;
    parts.told.textContent = words;
    parts.undo.hidden = !canUndo;
    parts.toast.hidden = false;
    clearTimeout(this.telling);
    this.telling = setTimeout(() => this.#fade(), TOLD_MS);
  }

  /** It stands over what lies below it; not while somebody is about to use it. */
  #fade() {
    const { toast } = this.parts;
    const focused = toast.getRootNode().activeElement;
    if (toast.matches(":hover") || toast.contains(focused)) this.telling = setTimeout(() => this.#fade(), TOLD_MS);
    else toast.hidden = true;
  }
}

/** Corrections that others have made, in words. */
function told(changed, people) {
  const words = changed.slice(0, MOST_TOLD).map((one) => done(one, people));
  if (changed.length > MOST_TOLD) words.push(`and ${several(changed.length - MOST_TOLD, "more", "more")}`);
  return words.join("; ") || "it is not known how";
}

const DONE = { name: "named", merge: "merged", move: "moved tracks to", hide: "hid", show: "showed again", decline: "said who is not", undo: "took a correction back" };
const WISH = { name: "to name", merge: "to merge", move: "to move tracks to", hide: "to hide", show: "to show", decline: "to say who is not", undo: "to take the last correction back" };

const done = (correction, people) => sentence(DONE, correction, people);
const wish = (correction, people) => sentence(WISH, correction, people);

function sentence(verbs, { action, person_ids: ids, track_ids: tracks, name }, people) {
  const verb = verbs[action] ?? action;
  if (action === "undo") return verb;
  const called = (id) => {
    const person = people.byId.get(id);
    return person === undefined ? `person ${Number(/\d+$/.exec(id)?.[0] ?? 0)}` : quoted(labelOf(person));
  };
  const who = (ids ?? []).slice(0, MOST_TOLD).map(called).join(", ");
  if (action === "decline") return `${verb} ${name === null ? "somebody" : quoted(name)}: ${who}`;
  if (action === "name") return name ? `${verb} ${who} ${quoted(name)}` : `${verb} ${who} nothing`;
  if (action === "move") return `${verb.replace("tracks", several(tracks?.length ?? 0, "track", "tracks"))} ${who || "a new person"}`;
  return `${verb} ${who}`;
}
