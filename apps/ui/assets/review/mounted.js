// What Streamlit's calls of a component have in common. It calls the default export whenever it draws
// the page: the first call sets up, later ones update, and what a call returned ends what it has set up.
// Where two redraws follow at once, what the first call returned is called before the second call.

const ANOTHER_MS = 1000; // in which another call may follow

/**
 * Sets up or updates what a component shows; kept as `screenalytics` of its element.
 *
 * @param component as Streamlit hands it over
 * @param selector of the component's element
 * @param Shown a class with `update(component)` and `dispose()`, made with that element
 * @returns what Streamlit calls in the end
 */
export function mounted(component, selector, Shown) {
  const root = component.parentElement.querySelector(selector);
  // A newer version of a module may find what an older one has set up.
  if (!(root.screenalytics instanceof Shown)) {
    root.screenalytics?.dispose();
    root.screenalytics = new Shown(root);
  }
  const shown = root.screenalytics;
  shown.calls = (shown.calls ?? 0) + 1;
  const call = shown.calls;
  shown.update(component);
  const end = () => {
    if (shown.calls !== call || root.screenalytics !== shown) return; // drawn again since
    shown.dispose();
    delete root.screenalytics;
  };
  return () => {
    if (root.isConnected) setTimeout(end, ANOTHER_MS);
    else end();
  };
}
