// Buttons that decide something wait a moment after they appeared, moved, or came back to the front: a click that was
// meant for what was there before decides nothing, nor does the second half of a double click.

const DELAY_MS = 700;

export class Arming {
  #buttons = [];
  #timer = null;
  #isBusy = false;
  #rearm = () => document.visibilityState === "visible" && this.arm();

  constructor() {
    addEventListener("focus", this.#rearm);
    document.addEventListener("visibilitychange", this.#rearm);
  }

  /** A button that calls `run()` when it is pressed for good; `properties` are those of `h`. */
  add(button, run) {
    this.#buttons.push(button);
    button.addEventListener("click", async (event) => {
      event.preventDefault();
      if (button.getAttribute("aria-disabled") === "true" || event.detail > 1 || this.#isBusy) return;
      this.#isBusy = true;
      this.#set(false);
      try {
        await run();
      } finally {
        this.#isBusy = false;
        this.arm();
      }
    });
    return button;
  }

  /** Begins the wait anew. */
  arm() {
    this.#set(false);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => !this.#isBusy && this.#set(true), DELAY_MS);
  }

  /** For buttons that are gone. */
  end() {
    clearTimeout(this.#timer);
    removeEventListener("focus", this.#rearm);
    document.removeEventListener("visibilitychange", this.#rearm);
  }

  /** `aria-disabled` keeps the focus where it is; `data-blocked` is set by whoever knows that a choice is missing. */
  #set(isArmed) {
    for (const button of this.#buttons) button.setAttribute("aria-disabled", String(!isArmed || "blocked" in button.dataset));
  }

  /** Says whether a button may be pressed at all. */
  block(button, isBlocked) {
    if (isBlocked) button.dataset.blocked = "";
    else delete button.dataset.blocked;
    this.arm();
  }
}
