// Several videos from the browser to the server. Streamlit calls the default export whenever it
// draws the page, and what that returns when the view is left. What is on its way outlives the view.

import { mounted } from "../review/mounted.js";
import { bytes, percent, stretch } from "./figures.js";
import { pickedFrom } from "./files.js";
import { freeName, isVideo, problemWith } from "./names.js";
import { Item, Queue } from "./queue.js";
import { discard, unfinished } from "./tus.js";
import { Warning } from "./warning.js";

const queue = new Queue();
const warning = new Warning(queue);
let rowCount = 0;

class View {
  #rows = new Map();
  #taken = new Set();
  #told = queue.finished.length;
  #earlier = [];

  constructor(root) {
    this.root = root;
    this.parts = Object.fromEntries(
      ["drop", "items", "all", "start", "earlier", "live", "file-input", "folder-input"]
        .map((name) => [name, root.querySelector(`.${name}`)]),
    );
    this.#listen();
    queue.view = this;
    queue.changed = () => this.#draw();
  }

  update({ data, setTriggerValue }) {
    this.url = data.url;
    this.pattern = new RegExp(`^(?:${data.pattern})$`);
    this.setTriggerValue = setTriggerValue;
    if (!this.isOpen) {
      this.isOpen = true;
      warning.hide();
      queue.show();
      this.#ask();
    }
    this.#draw();
  }

  dispose() {
    if (queue.view !== this) return; // the next one has taken over
    queue.changed = () => {};
    warning.tell(queue.hide());
  }

  #listen() {
    const { root, parts } = this;
    const on = (name, action) => { root.querySelector(`.${name}`).onclick = action; };
    on("files", () => parts["file-input"].click());
    on("folder", () => parts["folder-input"].click());
    on("start", () => this.#start());
    on("cancel-all", () => queue.items.filter((item) => item.state !== "done").forEach((one) => {
      if (one.isAtServer) this.#cancel(one);
      else queue.remove(one);
    }));
    parts["file-input"].onchange = ({ target }) => this.#take([...target.files], target);
    parts["folder-input"].onchange = ({ target }) => this.#take([...target.files], target, isVideo);
    parts.drop.ondragover = (event) => {
      event.preventDefault();
      parts.drop.classList.add("over");
    };
    parts.drop.ondragleave = () => parts.drop.classList.remove("over");
    parts.drop.ondrop = async (event) => {
      event.preventDefault();
      parts.drop.classList.remove("over");
      const { files, leftOut } = await pickedFrom(event.dataTransfer, isVideo);
      await this.#add(files, leftOut);
    };
  }

  async #take(files, input, wanted = () => true) {
    input.value = ""; // the same one can be chosen again
    const kept = files.filter(wanted);
    await this.#add(kept, files.length - kept.length);
  }

  async #add(files, leftOut) {
    await this.#ask();
    for (const done of queue.items.filter((item) => item.state === "done")) queue.remove(done);
    for (const file of files) {
      if (queue.items.some((item) => isSame(item.file, file) && this.#continued(item, file))) continue;
      const used = new Set(queue.items.map((item) => item.name));
      const known = this.#earlier.find((one) => isEarlier(one, file));
      const item = new Item(this.url, file, known?.ep_id ?? freeName(file, used));
      if (known !== undefined) Object.assign(item, { path: `${this.url}/${known.upload_id}`, offset: known.offset });
      queue.add(item);
    }
    const others = leftOut === 0 ? "" : ` ${leftOut} other file${leftOut === 1 ? " was" : "s were"} left out.`;
    const chosen = `${files.length} video${files.length === 1 ? "" : "s"} chosen.${others}`;
    this.#say(files.length > 0 || leftOut > 0 ? chosen : "");
  }

  /** A file that is listed and was chosen again: read anew, where it could not be read. */
  #continued(item, file) {
    if (item.state === "failed") {
      item.file = file;
      queue.start([item]);
    }
    return true;
  }

  /** Which names are taken, and what was not finished; without answers the server has the last word. */
  async #ask() {
    const names = fetch(`${this.url}/names`).then((answer) => (answer.ok ? answer.json() : []));
    const [taken, earlier] = await Promise.allSettled([names, unfinished(this.url)]);
    if (taken.status === "fulfilled") this.#taken = new Set(taken.value);
    if (earlier.status === "fulfilled") this.#earlier = earlier.value;
    this.#draw();
  }

  #start() {
    const ready = queue.items.filter((item) => item.state === "ready");
    const wrong = ready.filter((item) => this.#problem(item) !== "");
    if (wrong.length > 0) this.#rows.get(wrong[0]).querySelector("input").focus();
    else queue.start(ready);
  }

  async #cancel(item) {
    this.#say(await queue.cancel(item));
    await this.#ask();
  }

  #mayRename(item) {
    return item.path === undefined && (item.state === "ready" || item.state === "failed");
  }

  #problem(item) {
    const others = queue.items.filter((one) => one !== item && one.state !== "done").map((one) => one.name);
    return problemWith(item.name, this.pattern, this.#taken, others);
  }

  #say(text) {
    this.parts.live.textContent = text;
  }

  // Drawing.

  #draw() {
    for (const [item, row] of this.#rows) {
      if (!queue.items.includes(item)) {
        row.remove();
        this.#rows.delete(item);
      }
    }
    for (const item of queue.items) {
      if (!this.#rows.has(item)) this.#rows.set(item, this.#row(item));
      this.#drawRow(item, this.#rows.get(item));
    }
    const ready = queue.items.filter((item) => item.state === "ready").length;
    this.parts.all.hidden = queue.items.every((item) => item.state === "done");
    this.parts.start.hidden = ready === 0;
    this.parts.start.textContent = ready > 1 ? `Upload ${ready} files` : "Upload";
    this.#drawEarlier();
    warning.update();
    this.#tellFinished();
  }

  #row(item) {
    const row = this.root.querySelector(".item-template").content.firstElementChild.cloneNode(true);
    row.querySelector(".file").textContent = `${item.file.name.slice(0, 300)} · ${bytes(item.file.size)}`;
    const name = row.querySelector("input");
    name.setAttribute("aria-describedby", row.querySelector(".state").id = `state-${++rowCount}`);
    name.value = item.name;
    name.oninput = () => {
      item.name = name.value;
      this.#draw();
    };
    const actions = {
      pause: () => (item.state === "paused" ? queue.start([item]) : queue.pause(item)),
      retry: () => (this.#mayRename(item) && this.#problem(item) ? name.focus() : queue.start([item])),
      replace: () => queue.replaceOther(item),
      cancel: () => (item.isAtServer ? this.#cancel(item) : queue.remove(item)),
    };
    for (const [what, action] of Object.entries(actions)) {
      const button = row.querySelector(`.${what}`);
      button.onclick = action;
      button.setAttribute("aria-label", `${button.textContent}: ${item.file.name.slice(0, 300)}`);
    }
    this.parts.items.append(row);
    return row;
  }

  #drawRow(item, row) {
    const name = row.querySelector("input");
    const mayRename = this.#mayRename(item);
    const wrong = mayRename ? this.#problem(item) : "";
    name.disabled = !mayRename;
    name.setAttribute("aria-invalid", String(wrong !== ""));
    const bar = row.querySelector("progress");
    bar.hidden = item.state === "done" || (item.path === undefined && !item.isOnTheWay);
    if (item.state === "checking") bar.removeAttribute("value");
    else bar.value = item.file.size > 0 ? item.offset / item.file.size : 0;
    bar.setAttribute("aria-label", `Sent of ${item.name}`);
    const state = row.querySelector(".state");
    const text = wrong || describe(item);
    if (state.textContent !== text) state.textContent = text;
    state.classList.toggle("bad", wrong !== "" || item.state === "failed");
    const show = (what, shown, label) => {
      const button = row.querySelector(`.${what}`);
      button.hidden = !shown;
      if (label === undefined || button.textContent === label) return;
      button.textContent = label;
      button.setAttribute("aria-label", `${label}: ${item.file.name.slice(0, 300)}`);
    };
    show("pause", item.isOnTheWay || item.state === "paused", item.state === "paused" ? "Go on" : "Pause");
    show("retry", item.state === "failed" && item.other === undefined);
    show("replace", item.state === "failed" && item.other !== undefined);
    show("cancel", item.state !== "stopping", item.isAtServer ? "Cancel" : "Remove");
    if (item.state === "failed" && row.told !== item.problem) this.#say(`${item.name}: ${item.problem}`);
    row.told = item.state === "failed" ? item.problem : undefined;
  }

  /** What was begun elsewhere or before a reload, and is not in the list. */
  #drawEarlier() {
    const listed = (one) => queue.items.some((item) => item.name === one.ep_id || isEarlier(one, item.file));
    const shown = this.#earlier.filter((one) => !one.active && one.state === "receiving" && !listed(one));
    this.parts.earlier.hidden = shown.length === 0;
    const list = this.parts.earlier.querySelector("ul");
    const text = JSON.stringify(shown);
    if (list.drawn === text) return;
    list.drawn = text;
    list.replaceChildren(...shown.map((one) => {
      const row = this.root.querySelector(".earlier-template").content.firstElementChild.cloneNode(true);
      row.querySelector("span").textContent =
        `${one.filename.slice(0, 300)} (${one.ep_id}): ${percent(one.offset / one.length)} of ${bytes(one.length)}`;
      const button = row.querySelector("button");
      button.setAttribute("aria-label", `Discard ${one.ep_id}`);
      button.onclick = async () => {
        await discard(`${this.url}/${one.upload_id}`).catch((error) => this.#say(error.message));
        await this.#ask();
      };
      return row;
    }));
  }

  #tellFinished() {
    const names = queue.finished.slice(this.#told);
    if (names.length === 0) return;
    this.#told = queue.finished.length;
    for (const name of names) this.#taken.add(name);
    this.#say(`${names.join(", ")} ${names.length === 1 ? "is" : "are"} there.`);
    // One alone is what its user wants to see next; of several none is.
    const chosen = queue.items.length === 1 ? names[0] : null;
    this.setTriggerValue("uploaded", { names: queue.finished, chosen });
  }
}

function isSame(one, other) {
  return one.name === other.name && one.size === other.size && one.lastModified === other.lastModified &&
    one.webkitRelativePath === other.webkitRelativePath;
}

function isEarlier(one, file) {
  return one.filename === file.name && one.length === file.size && one.modified === String(file.lastModified);
}

function describe(item) {
  const { state, offset, file } = item;
  const share = () => `${percent(offset / file.size)} of ${bytes(file.size)}`;
  switch (state) {
    case "ready": return item.path === undefined ? "" : `${share()} are there already.`;
    case "waiting": return "Waits for its turn.";
    case "checking": return "Checking the video…";
    case "retrying": return `${item.why} Trying again in ${stretch(item.seconds)}.`;
    case "paused": return `Paused at ${share()}.`;
    case "stopping": return "Cancelling…";
    case "failed": return item.problem;
    case "done": return `Episode ${item.name} is there.`;
  }
  const speed = item.speed.perSecond;
  if (speed === null) return share();
  return `${share()} · ${bytes(speed)}/s · ${stretch((file.size - offset) / speed)} left`;
}

export default function (component) {
  return mounted(component, ".uploads", View);
}
