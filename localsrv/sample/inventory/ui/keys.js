// What the keys do.

const TYPING = "input:not([type=radio]), select, textarea";
const BOOKINGS = { "+": "in", "=": "in", "-": "out", "\u2212": "out", c: "count" };

/** Binds the keyboard to a page. */
export function bindKeys(page) {
  const search = document.querySelector("#search");
  const shortcuts = document.querySelector("#shortcuts");
  document.querySelector("#help").addEventListener("click", () => shortcuts.showModal());

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || shortcuts.open) return;
    if (run(event)) event.preventDefault();
  });

  function run({ key, target }) {
    if (key === "Escape") return escape(target);
    if (target === search && key === "ArrowDown") return done(page.move(1));
    if (target.matches?.(TYPING) || (target.type === "radio" && key.startsWith("Arrow"))) return false;
    if (key === "ArrowDown" || key === "ArrowUp") {
      // Inside the panel the arrows scroll, as they do everywhere.
      if (target.closest?.("#panel")) return false;
      return done(page.move(key === "ArrowDown" ? 1 : -1));
    }
    if (key === "/") return done(search.focus(), search.select());
    if (key === "?") return done(shortcuts.showModal());
    if (key === "l") return done(page.go({ view: page.state.view === "low" ? "all" : "low", sort: null, descending: false }));
    if (key === "e") return done(page.edit());
    if (Object.hasOwn(BOOKINGS, key)) return done(page.book(BOOKINGS[key]));
    return false;
  }

  function escape(target) {
    if (document.querySelector(":popover-open")) return false; // the browser closes that
    if (target === search && search.value) return done(page.clearSearch());
    if (page.state.product !== null) return done(page.select(null));
    if (page.state.text) return done(page.clearSearch());
    return false;
  }
}

const done = () => true;
