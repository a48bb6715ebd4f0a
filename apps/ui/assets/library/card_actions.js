// What is done with one card: by a click, and by a key on its title.
import * as asking from "./asking.js";
import { askDelete, askTitle, deletedWords, restored } from "./dialogs.js";

export class CardActions {
  constructor(library) {
    this.library = library;
  }

  listen(on) {
    on(".cards", "click", (event) => this.#clicked(event));
    on(".cards", "keydown", (event) => this.#pressed(event));
  }

  #clicked(event) {
    const card = this.library.cardOf(event);
    const link = event.target.closest("[data-go]");
    const button = event.target.closest("[data-do]");
    if (card && link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault(); // the page's own way keeps its session
      const view = link.dataset.go === "open" ? card.view : link.dataset.go;
      this.library.setTriggerValue("open", { view, ep_id: card.entry.ep_id });
    } else if (card && button) {
      this.#do(button.dataset.do, card);
    }
  }

  #do(what, card) {
    if (what === "rename") return this.#rename(card);
    if (what === "remove") return this.#remove(card);
    if (what === "pin") return this.library.trying(() => asking.change(card.entry.ep_id, { pinned: !card.entry.pinned }));
    return this.library.trying(() => asking.cancel(card.entry.ep_id, card.entry.state.run_id));
  }

  /** Arrows go from title to title, F2 renames, Delete deletes. */
  #pressed(event) {
    const card = this.library.cardOf(event);
    if (!card || event.ctrlKey || event.metaKey || event.altKey || !event.target.matches(".title")) return;
    const next = titleBeside(this.library.root, event.target, event.key);
    if (next !== undefined) next?.focus();
    else if (event.key === "F2") this.#rename(card);
    else if (event.key === "Delete") this.#remove(card);
    else if (event.key === " ") card.box.click();
    else return;
    event.preventDefault();
  }

  async #rename(card) {
    const { ep_id: epId } = card.entry;
    await askTitle(this.library.find("dialog.rename"), card, (title) => asking.change(epId, { title: title || null }));
    await this.library.load();
    this.library.cards.get(epId)?.part(".title").focus();
  }

  async #remove(card) {
    const { ep_id: epId } = card.entry;
    const name = card.name;
    let gone = null;
    const next = card.root.nextElementSibling ?? card.root.previousElementSibling;
    const isDone = await askDelete(this.library.find("dialog.confirm"), card, async () => { gone = await asking.remove(epId); });
    if (!isDone) return;
    this.library.toast(deletedWords(name, gone.frees_bytes), async () => {
      await asking.restore(gone.trash_id);
      this.library.toast(restored(name));
    });
    await this.library.load();
    (next?.isConnected ? next.querySelector(".title") : this.library.find(".search"))?.focus();
  }
}

/** The title that an arrow leads to; null where there is none, undefined of another key. */
function titleBeside(root, title, key) {
  const titles = [...root.querySelectorAll(".title")];
  const at = titles.indexOf(title);
  const tops = titles.map((one) => one.closest(".card").offsetTop);
  const columns = Math.max(1, tops.filter((top) => top === tops[0]).length);
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: titles.length - 1 - at };
  return key in steps ? (titles[at + steps[key]] ?? null) : undefined;
}
