// Loads the pictures of cards in sight, a few at a time: a browser keeps six connections to a server,
// and pictures that are only being made would keep everything else waiting.
const AT_ONCE = 3;

export class Pictures {
  #waiting = new Map();
  #loading = 0;
  #sight = new IntersectionObserver((seen) => this.#seen(seen), { rootMargin: "200px" });

  /** Shows the picture at an address once its place is in sight. */
  watch(image, address) {
    image.dataset.address = address;
    this.#sight.unobserve(image);
    this.#sight.observe(image);
  }

  dispose() {
    this.#sight.disconnect();
    this.#waiting.clear();
  }

  #seen(entries) {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) this.#waiting.set(target, target.dataset.address);
      else this.#waiting.delete(target);
    }
    this.#next();
  }

  #next() {
    for (const [image, address] of this.#waiting) {
      if (this.#loading >= AT_ONCE) return;
      this.#waiting.delete(image);
      this.#sight.unobserve(image);
      this.#loading += 1;
      const over = new AbortController();
      const end = () => {
        over.abort();
        this.#loading -= 1;
        this.#next();
      };
      for (const event of ["load", "error"]) image.addEventListener(event, end, { signal: over.signal });
      image.src = address;
    }
  }
}
