// The live feed: every change of the app's collections, over one WebSocket, without gap or duplicate.
//
// The feed says `ready` with its position, then each change with its own. After a lost connection the page asks
// again from the last position it saw. `reset` means that the position is no longer known (the file was restored):
// the page loads everything anew.

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5000;
const REFUSED = 4401;

/**
 * Follows collections of an app.
 *
 * `on.ready(seq)` once, when nothing can be missed any more; `on.change(event)` for each change, `{collection, id,
 * rev, deleted, row, at, …}`; `on.reset()`; `on.state("live" | "waiting")`; `on.refused(error)` when the
 * server ends it for good, for one because the token is not taken. Returns a function that ends it.
 */
export function follow(app, token, collections, on) {
  let since = null;
  let socket = null;
  let wait = FIRST_WAIT_MS;
  let ended = false;
  let problem = null;

  function connect() {
    const query = new URLSearchParams({ collections: collections.join(","), include: "row" });
    if (since !== null) query.set("since", since);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}/api/v1/apps/${app}/changes?${query}`);
    // A page cannot set headers on a WebSocket, so the token is the first thing it says.
    socket.addEventListener("open", () => socket.send(JSON.stringify({ token })));
    socket.addEventListener("message", (message) => receive(JSON.parse(message.data)));
    socket.addEventListener("close", (event) => closed(event.code));
  }

  function receive(event) {
    if (event.type === "ready") {
      wait = FIRST_WAIT_MS;
      on.state("live");
      if (since === null) on.ready(event.seq);
    } else if (event.type === "reset") {
      on.reset();
    } else if (event.type === "change") {
      on.change(event);
    } else if (event.type === "error") {
      problem = event;
    }
    if (event.seq) since = event.seq;
  }

  function closed(code) {
    if (ended) return;
    if (code === REFUSED) {
      ended = true;
      on.refused(problem);
      return;
    }
    on.state("waiting");
    setTimeout(() => ended || connect(), wait);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }

  connect();
  return () => {
    ended = true;
    socket.close();
  };
}
