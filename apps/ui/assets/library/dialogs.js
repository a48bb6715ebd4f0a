// What asks before something is done: a title, a yes, and what lies in the trash.
import { removeForGood, restore, trash } from "./asking.js";
import { bytes, momentOf } from "./words.js";

/** Opens a dialog; resolves with whether it was agreed to and `doing` has succeeded. */
export function agreed(dialog, doing) {
  const form = dialog.querySelector("form");
  const wrong = dialog.querySelector(".wrong");
  const button = dialog.querySelector("[type=submit]");
  wrong.hidden = true;
  button.disabled = false;
  return new Promise((resolve) => {
    let done = false;
    form.onsubmit = async (event) => {
      event.preventDefault();
      button.disabled = true;
      try {
        await doing(form);
        done = true;
        dialog.close();
      } catch (error) {
        wrong.textContent = error.message;
        wrong.hidden = false;
        button.disabled = false;
      }
    };
    dialog.querySelector(".close").onclick = () => dialog.close();
    dialog.onclose = () => resolve(done);
    dialog.showModal();
  });
}

export function askTitle(dialog, card, doing) {
  dialog.querySelector(".of").textContent = card.entry.ep_id;
  const field = dialog.querySelector("[name=title]");
  field.value = card.entry.title ?? "";
  field.placeholder = card.entry.ep_id;
  queueMicrotask(() => field.select());
  return agreed(dialog, () => doing(field.value.trim()));
}

export function askDelete(dialog, card, doing) {
  dialog.querySelector(".words").textContent = `Delete “${card.name}”${card.holds}? That frees ${card.frees}.`;
  return agreed(dialog, doing);
}

/** The trash; `changed` is called with the id of an episode that is back. */
export class TrashPanel {
  constructor(dialog, changed) {
    this.dialog = dialog;
    this.changed = changed;
    dialog.querySelector(".close").onclick = () => dialog.close();
  }

  async open() {
    this.dialog.querySelector("ul").replaceChildren();
    this.dialog.querySelector(".words").textContent = "Looking…";
    this.dialog.showModal();
    await this.#show();
  }

  async #show() {
    await this.#trying(async () => {
      const { items, size_bytes: size } = await trash();
      this.dialog.querySelector(".words").textContent = items.length
        ? `${bytes(size)} are free when it is emptied; what is in it goes by itself in time.`
        : "The trash is empty.";
      this.dialog.querySelector("ul").replaceChildren(...items.map((item) => this.#line(item)));
    });
  }

  async #trying(action) {
    const wrong = this.dialog.querySelector(".wrong");
    wrong.hidden = true;
    try {
      await action();
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
    }
  }

  #line(item) {
    const line = document.createElement("li");
    const what = document.createElement("span");
    what.className = "what";
    what.dir = "auto";
    const name = item.title ?? item.ep_id;
    what.textContent = item.kind === "run" ? `Run ${item.run_id} of ${item.ep_id}` : name;
    const facts = document.createElement("span");
    facts.textContent = `${bytes(item.frees_bytes)} · until ${momentOf(item.undo_until)}`;
    line.append(what, facts, this.#button("Restore", what.textContent, async () => {
      await restore(item.trash_id);
      this.changed(item.ep_id);
    }), this.#button("Delete for good", what.textContent, () => removeForGood(item.trash_id)));
    return line;
  }

  #button(words, name, action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words;
    button.setAttribute("aria-label", `${words}: ${name}`);
    button.onclick = async () => {
      button.disabled = true;
      await this.#trying(async () => {
        await action();
        await this.#show();
        this.dialog.querySelector(".close").focus();
      });
      button.disabled = false;
    };
    return button;
  }
}

export const restored = (name) => `“${name}” is back.`;
export const deletedWords = (name, freed) => `“${name}” is in the trash; ${bytes(freed)} are free when it is emptied.`;
