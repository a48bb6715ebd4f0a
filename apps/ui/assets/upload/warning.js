// Says that uploads rest because their view was left, and asks before the tab is closed.

const STYLE =
  "position: fixed; inset: auto 1rem 1rem 1rem; margin: auto; max-width: 34rem; z-index: 1000000; " +
  "display: flex; gap: 1rem; align-items: center; justify-content: space-between; padding: 0.75rem 1rem; " +
  "background: #1f2430; color: #fff; border: 1px solid #fff; border-radius: 0.5rem; font: 0.9rem sans-serif;";

export class Warning {
  #queue;
  #shown = null;
  #ask = (event) => event.preventDefault();
  #asks = false;

  constructor(queue) {
    this.#queue = queue;
  }

  /** Whether the browser has to ask before the tab goes. */
  update() {
    const wanted = this.#queue.items.some((item) => item.isOnTheWay || item.wasLeft);
    if (wanted === this.#asks) return;
    this.#asks = wanted;
    if (wanted) window.addEventListener("beforeunload", this.#ask);
    else window.removeEventListener("beforeunload", this.#ask);
  }

  tell(count) {
    this.hide();
    this.update();
    if (count === 0) return;
    const note = document.createElement("div");
    note.style.cssText = STYLE;
    note.setAttribute("role", "status");
    const text = document.createElement("span");
    const what = count === 1 ? "1 upload is" : `${count} uploads are`;
    text.textContent = `${what} paused, and will go on in Detect/Track when you are back there.`;
    const close = document.createElement("button");
    close.textContent = "Close";
    close.style.cssText = "font: inherit; color: inherit; background: none; border: 1px solid; cursor: pointer;";
    close.onclick = () => this.hide();
    note.append(text, close);
    document.body.append(note);
    this.#shown = note;
  }

  hide() {
    this.#shown?.remove();
    this.#shown = null;
  }
}
