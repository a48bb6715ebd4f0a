// Has the page drawn again when what its view shows has changed, and says what is the matter in the
// tab's title and, while the server is away, in a line over the page.
import { episodeKey, serverKey, subscribe } from "./live.js";

const PATIENCE = 1500; // milliseconds: what the script saw may not have come here yet

export function seenOf(hub, data) {
  const states = [...hub.episodes.values()];
  const under = ({ state }) => state === "queued" || state === "running";
  const parts = data.all
    ? states.filter(under).map((state) => `${state.ep_id} ${episodeKey(state)}`)
    : data.ep_id === null
      ? states.map((state) => state.ep_id)
      : [episodeKey(hub.episodes.get(data.ep_id))];
  return [serverKey(hub.server), ...parts.sort()].join("\n");
}

export function titleOf(hub, data) {
  const states = [...hub.episodes.values()];
  if (data.ep_id === null) {
    const running = states.filter(({ state }) => state === "running").length;
    return running ? `${running} running · ${data.view}` : `${data.view} · Screenalytics`;
  }
  const found = hub.episodes.get(data.ep_id);
  const name = `${data.ep_id} · ${data.view}`;
  switch (found?.state) {
    case "running":
      return found.progress === null
        ? `Starting · ${data.ep_id}`
        : `${Math.floor(100 * found.progress)} % · ${data.ep_id}`;
    case "queued":
      return found.ahead === null ? `Queued · ${data.ep_id}` : `Queued (${found.ahead + 1}) · ${data.ep_id}`;
    case "done":
      return `✓ ${name}`;
    case "failed":
      return `✗ ${name}`;
    default:
      return name;
  }
}

// Streamlit writes the title whenever its script runs. While one view takes the place of another both
// are there for a moment, so the tab has one keeper: two of them would answer each other for ever.
const keeper = (globalThis.screenalyticsTitle ??= { owner: null, title: null, observer: null, newest: null });

function keepTitle(owner, words) {
  const write = () => {
    if (keeper.title !== null && document.title !== keeper.title) document.title = keeper.title;
  };
  Object.assign(keeper, { owner, title: words });
  const title = document.querySelector("title");
  if (title && keeper.observer === null) {
    keeper.observer = new MutationObserver(write);
    keeper.observer.observe(title, { childList: true, characterData: true, subtree: true });
  }
  write();
}

// Of what Streamlit has drawn earlier and not removed yet nothing is told any more.
function takesOver(line, kept, drawn) {
  const { newest } = keeper;
  if (newest && newest.kept !== kept && newest.line.isConnected) {
    if (newest.drawn > drawn) return false;
    clearTimeout(newest.kept.timer);
    newest.kept.unsubscribe?.();
    newest.line.hidden = true;
  }
  keeper.newest = { line, kept, drawn };
  return true;
}

function leaveTitle(owner) {
  if (keeper.owner === owner) Object.assign(keeper, { owner: null, title: null });
}

export default function ({ parentElement, data, setTriggerValue }) {
  const line = parentElement.querySelector(".away");
  const kept = (line.screenalytics ??= { asked: null, wasAway: false, tries: 0 });
  if (kept.drawn !== data.drawn) {
    // The script has run; what it saw is at least as new as what was asked for.
    if (data.seen !== null) Object.assign(kept, { wasAway: false, tries: 0 });
    kept.drawn = data.drawn;
  }
  clearTimeout(kept.timer);
  kept.known = null;
  if (!takesOver(line, kept, data.drawn)) return () => {};

  function ask(what) {
    if (kept.asked === `${data.seen}\n\n${what}`) return; // it did not help before
    kept.asked = `${data.seen}\n\n${what}`;
    setTriggerValue("changed", what);
  }

  // The script did not reach a server that is there by now, or that is very busy.
  function again(what) {
    kept.asked = null;
    ask(what);
  }

  function look(hub) {
    line.hidden = hub.api !== false;
    if (hub.api === false) kept.wasAway = true;
    if (hub.api !== true) return;
    keepTitle(kept, titleOf(hub, data));
    clearTimeout(kept.timer);
    const now = seenOf(hub, data);
    const isNews = kept.known !== null && kept.known !== now;
    kept.known = now;
    if (data.hold) return; // the script holds a run: drawn again, it would end it
    if (kept.wasAway) {
      kept.wasAway = false;
      kept.asked = null;
      ask(`back ${now}`);
    } else if (now !== data.seen) {
      if (isNews) ask(now);
      else if (data.seen !== null) kept.timer = setTimeout(() => ask(now), PATIENCE);
      else kept.timer = setTimeout(() => again(now), PATIENCE * 2 ** Math.min(4, kept.tries++));
    }
  }

  kept.unsubscribe?.();
  const unsubscribe = (kept.unsubscribe = subscribe(look));
  return () => {
    clearTimeout(kept.timer);
    unsubscribe();
    if (kept.unsubscribe !== unsubscribe) return;
    leaveTitle(kept);
  };
}
