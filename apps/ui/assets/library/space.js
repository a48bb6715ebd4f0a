// What the disk is used for, which old runs go by themselves, and a way to have them go now.
import { library, prune, retention } from "./asking.js";
import { agreed } from "./dialogs.js";
import { bytes, momentOf, several } from "./words.js";

const LOOKED_AT = 200; // episodes, of which those are shown that take most
const SHOWN = 20;

export class SpacePanel {
  constructor(library) {
    this.library = library;
    this.dialog = library.find("dialog.space");
    this.find = (name) => this.dialog.querySelector(name);
    this.find("form.try").onsubmit = (event) => {
      event.preventDefault();
      this.#tell([]);
      this.#look(this.#asked());
    };
    this.find("button.prune").onclick = () => this.#prune();
    this.find(".close").onclick = () => this.dialog.close();
  }

  async open() {
    this.find("form.try").reset();
    this.#tell([]);
    this.find(".policy").textContent = "";
    this.find(".uses").replaceChildren();
    this.find(".of-disk").textContent = "Looking…";
    this.#clear();
    this.dialog.showModal();
    await Promise.all([this.#look({}), this.#uses()]);
  }

  /** The policy in the fields; an empty field says nothing. */
  #asked() {
    const fields = [...this.find("form.try").querySelectorAll("input")].filter((field) => field.value !== "");
    return Object.fromEntries(fields.map((field) => [field.name, field.value]));
  }

  #clear() {
    this.find(".going").textContent = "Looking…";
    this.find(".going-of").replaceChildren();
    this.find(".queue-records").textContent = "";
    this.find("button.prune").hidden = true;
  }

  async #look(asked) {
    this.#clear();
    const isUsual = Object.keys(asked).length === 0;
    await this.#trying(async () => {
      const answer = await retention(asked);
      this.policy = answer.policy;
      if (isUsual) this.find(".policy").textContent = policyWords(answer.policy);
      this.#showGoing(answer);
    });
  }

  #showGoing(answer) {
    const { items, queue, policy } = answer;
    this.answer = answer;
    const groups = byEpisode(items);
    const hasPolicy = policy.keep !== null || policy.keep_days !== null;
    this.find(".going").textContent = items.length
      ? `${several(items.length, "run", "runs")} of ${several(groups.length, "episode", "episodes")} would go: ${bytes(answer.size_bytes)}.`
      : hasPolicy ? "No run would go." : "Nothing says which runs are old. Fill in a field to see what would go.";
    this.find(".going-of").replaceChildren(...groups.slice(0, SHOWN).map((group) => goingLine(group)), ...more(groups));
    this.find(".queue-records").textContent = queueWords(queue, policy);
    const button = this.find("button.prune");
    button.hidden = items.length === 0 && queue.jobs === 0 && queue.batches === 0;
    button.textContent = items.length ? `Move ${several(items.length, "run", "runs")} to the trash…` : "Have the queue forget them…";
  }

  async #uses() {
    await this.#trying(async () => {
      const { items, disk, total: all } = await library({ sort: "disk", limit: LOOKED_AT });
      const uses = items.map((entry) => ({ name: entry.title ?? entry.ep_id, video: entry.video_bytes, results: entry.result_bytes ?? 0 }));
      uses.sort((a, b) => b.video + b.results - a.video - a.results);
      const most = uses.length ? uses[0].video + uses[0].results : 0;
      const parts = [["videos", disk.videos], ["results", disk.results], ["trash", disk.trash], ["caches", disk.caches]];
      const words = parts.map(([name, size]) => `${name} ${bytes(size)}`).join(", ");
      this.find(".of-disk").textContent = `${bytes(disk.free)} of ${bytes(disk.total)} are free. ${several(all, "episode", "episodes")}: ${words}.`;
      this.find(".uses").replaceChildren(...uses.slice(0, SHOWN).map((use) => useLine(use, most)));
    });
  }

  async #prune() {
    const { items, queue, size_bytes: size, trash_hours: hours } = this.answer;
    const dialog = this.library.find("dialog.prune");
    const runs = items.length ? `Move ${several(items.length, "run", "runs")} to the trash? ${bytes(size)} are free when it is emptied.` : "";
    const records = queue.jobs || queue.batches ? `The queue forgets ${recordWords(queue)}, for good.` : "";
    dialog.querySelector(".words").textContent = [runs, records].filter(Boolean).join(" ");
    dialog.querySelector(".hint").textContent = items.length ? `The runs can be restored for ${several(hours, "hour", "hours")}; videos stay.` : "";
    dialog.querySelector("[type=submit]").textContent = items.length ? "Move to the trash" : "Forget them";
    let done = null;
    if (!(await agreed(dialog, async () => { done = await prune(this.policy); }))) return;
    this.#tell(doneWords(done), done.pruned.length > 0);
    await Promise.all([this.#look(this.#asked()), this.#uses(), this.library.load()]);
  }

  /** What was done; it is read out, and gets the focus where something can be done about it. */
  #tell(sentences, isInTrash = false) {
    const place = this.find(".result");
    place.replaceChildren();
    if (sentences.length === 0) return;
    const words = document.createElement("p");
    words.textContent = sentences.join(" ");
    place.append(words);
    if (isInTrash) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Look into the trash";
      button.onclick = () => {
        this.dialog.close();
        this.library.trash.open();
      };
      place.append(button);
    }
    this.dialog.scrollTop = 0;
    (place.querySelector("button") ?? this.find(".close")).focus();
  }

  async #trying(action) {
    const wrong = this.find(".wrong");
    try {
      await action();
      wrong.hidden = true;
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
      this.find(".going").textContent = "";
    }
  }
}

function byEpisode(items) {
  const found = new Map();
  for (const run of items) found.set(run.ep_id, [...(found.get(run.ep_id) ?? []), run]);
  const groups = [...found].map(([epId, runs]) => ({ epId, runs, size: total(runs) }));
  return groups.sort((a, b) => b.size - a.size);
}

const total = (runs) => runs.reduce((sum, run) => sum + run.size_bytes, 0);
const recordWords = ({ jobs, batches }) => [jobs && several(jobs, "job", "jobs"), batches && several(batches, "batch", "batches")].filter(Boolean).join(" and ");

function policyWords({ keep, keep_days: days }) {
  const rules = [
    keep !== null && `it is not among the ${several(keep, "newest completed run", "newest completed runs")} of its episode`,
    days !== null && `it ended more than ${several(days, "day", "days")} ago`,
  ].filter(Boolean);
  const always = "The newest completed run, runs with a title, and all runs of pinned episodes stay in any case.";
  if (rules.length === 0) return `No run goes by itself: nobody has set that on this server. ${always}`;
  return `Every hour a run goes to the trash when ${rules.join(" and ")}. ${always}`;
}

function queueWords(queue, { keep_job_days: days }) {
  if (queue.problem !== null) return `What the queue remembers is not known: ${queue.problem}`;
  const kept = `The queue remembers jobs for ${several(days, "day", "days")} after their end`;
  const all = queue.redis_bytes === null ? "" : ` (Redis has ${bytes(queue.redis_bytes)} in memory)`;
  if (queue.jobs || queue.batches) return `${kept}: ${recordWords(queue)} would be forgotten, ${bytes(queue.size_bytes)}${all}.`;
  return `${kept}; none is older${all}.`;
}

function doneWords({ pruned, size_bytes: size, stayed, queue, undo_until: until }) {
  const words = [];
  if (pruned.length) words.push(`${several(pruned.length, "run is", "runs are")} in the trash (${bytes(size)}) and can be restored until ${momentOf(until)}.`);
  if (stayed.length) words.push(`${several(stayed.length, "run stays", "runs stay")}: ${stayed[0].why}`);
  if (queue.jobs || queue.batches) words.push(`The queue has forgotten ${recordWords(queue)}.`);
  return words.length ? words : ["There was nothing left to be done."];
}

function line(name, number) {
  const item = document.createElement("li");
  const what = document.createElement("span"), value = document.createElement("span");
  Object.assign(what, { className: "what", dir: "auto", textContent: name });
  Object.assign(value, { className: "number", textContent: number });
  item.append(what, value);
  return item;
}

function goingLine({ epId, runs, size }) {
  const item = line(epId, `${several(runs.length, "run", "runs")}, ${bytes(size)}`);
  const why = document.createElement("span");
  Object.assign(why, { className: "hint", textContent: `${runs[0].run_id}: ${runs[0].why}${runs.length > 1 ? `; ${several(runs.length - 1, "older run", "older runs")} as well` : ""}` });
  item.append(why);
  return item;
}

function more(groups) {
  const rest = groups.slice(SHOWN);
  const runs = rest.flatMap((group) => group.runs);
  return rest.length ? [line(`${several(rest.length, "other episode", "other episodes")}`, `${several(runs.length, "run", "runs")}, ${bytes(total(runs))}`)] : [];
}

function useLine({ name, video, results }, most) {
  const item = line(name, `video ${bytes(video)}, results ${bytes(results)}`);
  const bar = document.createElement("span");
  bar.className = "bar";
  bar.setAttribute("aria-hidden", "true");
  for (const [kind, size] of [["of-video", video], ["of-results", results]]) {
    const part = document.createElement("span");
    part.className = kind;
    part.style.width = `${most ? (100 * size) / most : 0}%`;
    bar.append(part);
  }
  item.append(bar);
  return item;
}
