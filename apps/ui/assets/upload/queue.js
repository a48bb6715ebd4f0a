// Files on their way, two at a time. It lives as long as the tab, so that a view that is left and
// opened again finds them; while nobody sees them, nothing is sent.

import { Speed } from "./figures.js";
import { Refused, discard, send } from "./tus.js";

const AT_ONCE = 2;
const ON_THE_WAY = new Set(["waiting", "sending", "checking", "retrying"]);

/** A file, and how far it is. */
export class Item {
  state = "ready"; // waiting, sending, checking, retrying, paused, stopping, failed, done
  offset = 0;
  problem = "";
  path = undefined;
  other = undefined; // id of an upload that is in the way
  speed = new Speed();

  constructor(url, file, name) {
    Object.assign(this, { url, file, name });
  }

  get isOnTheWay() {
    return ON_THE_WAY.has(this.state);
  }

  /** Whether there may be something of it at the server that is no episode yet. */
  get isAtServer() {
    return this.isOnTheWay || (this.path !== undefined && this.state !== "done");
  }
}

export class Queue {
  items = [];
  finished = []; // names of episodes that came of it, in order
  isShown = true;
  #running = new Map(); // an item, what ends it and the promise of its end

  /** @param {() => void} changed called after every change. */
  changed = () => {};

  get isBusy() {
    return this.items.some((item) => item.isOnTheWay);
  }

  add(item) {
    this.items.push(item);
    this.changed();
  }

  remove(item) {
    this.items = this.items.filter((one) => one !== item);
    this.changed();
  }

  start(items) {
    for (const item of items) Object.assign(item, { state: "waiting", problem: "", other: undefined });
    this.#pump();
  }

  pause(item) {
    item.state = "paused";
    this.#running.get(item)?.stopper.abort();
    this.#pump();
  }

  /** While nobody sees it; `show` goes on. */
  hide() {
    this.isShown = false;
    const paused = this.items.filter((item) => item.isOnTheWay);
    for (const item of paused) {
      this.pause(item);
      item.wasLeft = true;
    }
    return paused.length;
  }

  show() {
    this.isShown = true;
    const left = this.items.filter((item) => item.wasLeft && item.state === "paused");
    for (const item of this.items) item.wasLeft = false;
    this.start(left);
  }

  /** Ends it here and at the server. A sentence on what came of that. */
  async cancel(item) {
    item.state = "stopping";
    const running = this.#running.get(item);
    running?.stopper.abort();
    this.changed();
    await running?.ended;
    try {
      if (item.path !== undefined && !(await discard(item.path))) {
        this.#done(item);
        return `${item.name} was there already.`;
      }
    } catch {
      Object.assign(item, { state: "failed", problem: "The server could not be told. Cancel it again." });
      this.changed();
      return item.problem;
    }
    this.remove(item);
    this.#pump();
    return `${item.file.name} was cancelled; nothing of it is kept.`;
  }

  /** Ends the unfinished upload that has the name, and begins. */
  async replaceOther(item) {
    try {
      await discard(`${item.url}/${item.other}`);
    } catch (error) {
      item.problem = error.message;
      this.changed();
      return;
    }
    this.start([item]);
  }

  #pump() {
    const active = this.items.filter((item) => this.#running.has(item)).length;
    const waiting = this.items.filter((item) => item.state === "waiting" && !this.#running.has(item));
    for (const item of waiting.slice(0, Math.max(0, AT_ONCE - active))) this.#run(item);
    this.changed();
  }

  #run(item) {
    const stopper = new AbortController();
    const ended = this.#send(item, stopper.signal).finally(() => {
      this.#running.delete(item);
      this.#pump();
    });
    this.#running.set(item, { stopper, ended });
  }

  async #send(item, signal) {
    item.speed.forget();
    try {
      await send(item, signal, (what) => {
        if (signal.aborted) return;
        Object.assign(item, what);
        if (what.state === "sending") item.speed.note(what.offset);
        else item.speed.forget();
        this.changed();
      });
      // What was paused with its last byte on the way is there nevertheless.
      if (item.state !== "stopping") this.#done(item);
    } catch (error) {
      if (signal.aborted) return;
      const other = error instanceof Refused ? error.problem.upload_id : undefined;
      Object.assign(item, { state: "failed", problem: error.message, other });
      if ([404, 409, 422].includes(error.status)) item.path = undefined; // it is gone
    }
  }

  #done(item) {
    Object.assign(item, { state: "done", offset: item.file.size });
    this.finished.push(item.name);
    this.changed();
  }
}
