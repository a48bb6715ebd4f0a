// Which people are looked at: by name, seconds on the screen, confidence, hidden or not.

import { ALL } from "./model.js";

export class Filter {
  constructor(form, changed, signal) {
    Object.assign(this, { form, changed, wanted: ALL });
    form.addEventListener("input", () => this.#read(), { signal });
    form.addEventListener("submit", (event) => event.preventDefault(), { signal });
  }

  #read() {
    const { elements } = this.form;
    const number = (name) => {
      const { value, validity } = elements[name];
      if (validity.valid) elements[name].removeAttribute("aria-invalid");
      else elements[name].setAttribute("aria-invalid", "true");
      return value === "" || !validity.valid ? null : Number(value);
    };
    this.wanted = {
      name: elements.name.value, hidden: elements.hidden.checked,
      minSeconds: number("minSeconds"), minConfidence: number("minConfidence"),
    };
    this.changed();
  }
}
