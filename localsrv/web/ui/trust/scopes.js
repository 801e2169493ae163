// Scopes in words, one by one, as `model/scope_words.py` says them of several together. No elements here.

const WHOLE = {
  admin: "do everything you can do: read, change and delete, give access to others",
  sync: "keep a copy in step: read and change every collection, add new ones and design documents",
  "cache:use": "use the app’s cache",
  "secrets:use": "store and replace the app’s secrets",
};
const ACTIONS = { read: "read", write: "change and delete in" };
/** The gravest first, as a person should read them. */
const ORDER = ["admin", "sync", "secrets:use"];

/** What one scope allows: "read the collection “items”". */
export function inWords(scope) {
  if (Object.hasOwn(WHOLE, scope)) return WHOLE[scope];
  const parts = scope.split(":");
  const last = parts.at(-1);
  if (Object.hasOwn(ACTIONS, last)) return `${ACTIONS[last]} ${what(parts.slice(0, -1).join(":"))}`;
  const [kind, name] = parts;
  if (kind === "functions") return name === "*" ? "call all functions of the app" : `call the function “${name}”`;
  if (kind === "integrations") return `send requests through ${name === "*" ? "all outside services of the app" : `the outside service “${name}”`}`;
  return scope;
}

function what(head) {
  if (head === "*") return "all collections";
  if (head.startsWith("files:")) return head === "files:*" ? "all files" : `the files in “${head.slice(6)}”`;
  return `the collection “${head}”`;
}

/** Whether a scope gives power over everything, or over what is secret. */
export const isGrave = (scope) => ORDER.includes(scope);

/** Scopes as they are shown: the gravest first, then by name. */
export function sorted(scopes) {
  const rank = (scope) => (ORDER.indexOf(scope) + ORDER.length + 1) % (ORDER.length + 1);
  return [...scopes].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
}
