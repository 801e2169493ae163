// The requests that wait for the person, live over one WebSocket.

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5000;
const REFUSED = 4401;

/** Sends `change` when the list or the connection is another, and `refused` when the token is taken no more. */
export class Waiting extends EventTarget {
  /** Oldest first; null until the first answer. */
  requests = null;
  isLive = false;
  #token;
  #wait = FIRST_WAIT_MS;

  constructor(token) {
    super();
    this.#token = token;
    this.#connect();
  }

  get count() {
    return this.requests?.length ?? 0;
  }

  #connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/api/v1/requests`);
    // A page cannot set headers on a WebSocket, so the token is the first thing it says.
    socket.addEventListener("open", () => socket.send(JSON.stringify({ token: this.#token })));
    socket.addEventListener("message", ({ data }) => this.#receive(JSON.parse(data)));
    socket.addEventListener("close", ({ code }) => this.#closed(code));
  }

  #receive(state) {
    if (!state.requests) return; // an error; the close that follows says what to do
    this.#wait = FIRST_WAIT_MS;
    this.isLive = true;
    this.requests = state.requests;
    this.dispatchEvent(new Event("change"));
  }

  #closed(code) {
    this.isLive = false;
    if (code === REFUSED) {
      this.dispatchEvent(new Event("refused"));
      return;
    }
    this.dispatchEvent(new Event("change"));
    setTimeout(() => this.#connect(), this.#wait);
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
  }
}
