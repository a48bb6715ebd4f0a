// What keys and buttons of People do, by the names that ./keys.js and the buttons have for it.

/** @param view the component: its people, player, timeline and cards */
export function actionsOf(view) {
  const whenShown = (act) => (argument) => (view.people === undefined ? undefined : act(argument));
  const { player } = view.watch;
  const jump = (seconds) => { player.seek(Math.min(view.watch.tracks.endOfAll, Math.max(0, seconds))); view.place.rest(); };
  return {
    cards: whenShown(() => view.turnTo(false)),
    matrix: whenShown(() => view.turnTo(true)),
    nobody: whenShown(() => { view.turnTo(false); view.open(null); }),
    appearance: whenShown((direction) => {
      if (!view.watch.step(direction)) view.say(direction > 0 ? "There is no later appearance." : "There is no earlier appearance.");
      view.place.rest();
    }),
    toggle: whenShown(() => player.toggle()),
    jump: whenShown((seconds) => jump(player.time + seconds)),
    speed: whenShown((direction) => player.speed(direction)),
    step: whenShown((direction) => { player.step(direction); }),
    end: whenShown((side) => jump(side * view.watch.tracks.endOfAll)),
    zoom: whenShown((factor) => { view.rows.zoom(factor); }),
    fit: whenShown(() => { view.rows.fit(); }),
    lanes: whenShown((pixels) => view.rows.scrollBy(pixels)),
    suggestion: whenShown(() => { view.turnTo(false); view.suggestions.next(); }),
    merge: whenShown(() => { view.cards.merge(); }),
    hideChosen: whenShown(() => { view.cards.hideChosen(true); }),
    showChosen: whenShown(() => { view.cards.hideChosen(false); }),
    none: whenShown(() => { view.cards.clear(); }),
    undo: whenShown(() => { if (view.people.revision > 0) view.edits.undo(); }),
    back: whenShown(() => (view.opened.isOpen ? view.opened.clear() || view.opened.close() : view.cards.clear())),
    help: () => view.find("dialog").showModal(),
    close: () => view.find("dialog").close(),
  };
}
