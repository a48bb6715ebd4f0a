// What changes in the product, told to every component of this tab by one WebSocket. The page's
// server passes on what the API tells, to all tabs from one subscription.
const FIRST_PAUSE = 500; // milliseconds between two attempts to reach the page's server
const LONGEST_PAUSE = 10000;
const LINGER = 5000; // components go and come again with every view
const CPU_POINTS = 600;
const PATH = "/files/live";
const UNDER_WAY = new Set(["queued", "running"]);
const ENDS = { done: "is done", stale: "is done", failed: "has failed", cancelled: "was cancelled" };

class Hub {
  // api: whether the API answers; null while this tab does not know.
  api = null;
  server = null;
  episodes = new Map();
  cpu = new Map(); // by run: what it reported, [seconds, percent] each
  wished = new Set(); // episodes whose end is to be told
  #listeners = new Set();
  #socket = null;
  #pause = FIRST_PAUSE;
  #timer = null;
  #due = false;

  subscribe(callback) {
    this.#listeners.add(callback);
    clearTimeout(this.#timer);
    if (this.#socket === null) this.#connect();
    else if (this.api !== null) queueMicrotask(() => this.#listeners.has(callback) && callback(this));
    return () => {
      this.#listeners.delete(callback);
      this.#restSoon();
    };
  }

  #restSoon() {
    if (this.#listeners.size || this.wished.size) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const socket = this.#socket;
      this.#socket = null;
      this.api = null;
      socket?.close();
    }, LINGER);
  }

  #connect() {
    const address = new URL(PATH, document.baseURI);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = (this.#socket = new WebSocket(address));
    socket.onopen = () => (this.#pause = FIRST_PAUSE);
    socket.onmessage = ({ data }) => socket === this.#socket && this.#take(JSON.parse(data));
    socket.onclose = () => {
      if (socket !== this.#socket) return; // it was closed from here
      this.api = null;
      const pause = this.#pause * (0.8 + 0.4 * Math.random());
      this.#pause = Math.min(LONGEST_PAUSE, 2 * this.#pause);
      this.#timer = setTimeout(() => this.#connect(), pause);
    };
  }

  #take({ event, data }) {
    if (event === "away") this.api = false;
    else if (event === "states") {
      this.api = true;
      this.server = data.server;
      const before = this.episodes;
      this.episodes = new Map();
      for (const state of data.items) this.#put(state, before.get(state.ep_id));
    } else if (event === "server") this.server = data;
    else if (event === "removed") this.episodes.delete(data.ep_id);
    else if (event === "state") this.#put(data, this.episodes.get(data.ep_id));
    this.#tell();
  }

  #put(state, before) {
    this.episodes.set(state.ep_id, state);
    const report = state.report;
    if (report && report.cpu_percent !== null) {
      if (!this.cpu.has(state.run_id)) this.cpu.set(state.run_id, []);
      const points = this.cpu.get(state.run_id);
      if (points.at(-1)?.[0] !== report.elapsed_sec) points.push([report.elapsed_sec, report.cpu_percent]);
      points.splice(0, points.length - CPU_POINTS);
    }
    if (before && UNDER_WAY.has(before.state) && !UNDER_WAY.has(state.state)) {
      this.cpu.delete(before.run_id);
      if (this.wished.delete(state.ep_id)) tellPerson(state);
    }
  }

  // Several changes come at once: everybody is told once of them.
  #tell() {
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      for (const callback of [...this.#listeners]) callback(this);
    });
  }

  // Whether the end of the episode's run is to be told.
  wish(epId, wanted) {
    if (wanted) this.wished.add(epId);
    else this.wished.delete(epId);
    this.#restSoon();
    this.#tell();
  }
}

function tellPerson(state) {
  if (globalThis.Notification?.permission !== "granted") return;
  const told = new Notification(`${state.ep_id} ${ENDS[state.state] ?? "is over"}`, {
    body: `Run ${state.run_id ?? ""}`,
    tag: `screenalytics-${state.run_id}`,
  });
  told.onclick = () => window.focus();
}

// Of all modules of the page, whatever their versions are.
const NAME = Symbol.for("screenalytics.live");
export const hub = (globalThis[NAME] ??= new Hub());

// Calls back with the hub at once, where something is known, and after each change.
// Returns what ends that.
export function subscribe(callback) {
  return hub.subscribe(callback);
}

// What a view shows of an episode; it is drawn again where this is another. As `_episode_key`
// and `_server_key` in apps/ui/parts/live.py.
export function episodeKey(state) {
  if (!state) return "none";
  const begun = state.report === null ? "" : "begun";
  return [state.state, state.run_id ?? "", state.latest_run_id ?? "", begun].join(" ");
}

export function serverKey(server) {
  if (!server) return "";
  const { source_fingerprint: source, stale, queue_problem: problem, worker_names: names } = server;
  return [source, stale ? "stale" : "", problem === null ? "" : "no queue", ...names].join(" ");
}
