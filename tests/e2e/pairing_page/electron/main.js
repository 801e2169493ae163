// Stands in for Electron's main process in Node.js, for the example of docs/pairing.md: its binaries come from a host
// that tests do not reach. What a window would do, `loadFile` does: it loads the preload script and calls what that
// gives it. What is told goes to standard output, one line of JSON each.

import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { createRequire } from "node:module";

const handlers = new Map();
const key = Buffer.from(process.env.SEAL_KEY, "hex");
const tell = (told) => console.log(JSON.stringify(told));

globalThis.electron = { invoke: (name) => handlers.get(name)(), world: {} };

export const app = { getPath: () => process.env.USER_DATA, whenReady: async () => {} };

export const ipcMain = { handle: (name, work) => handlers.set(name, work) };

export const shell = { openExternal: async (url) => tell({ open: url }) };

export const safeStorage = {
  encryptString(text) {
    const iv = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", key, iv);
    const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
    return Buffer.concat([iv, cipher.getAuthTag(), sealed]);
  },
  decryptString(sealed) {
    const opened = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, 12)).setAuthTag(sealed.subarray(12, 28));
    return Buffer.concat([opened.update(sealed.subarray(28)), opened.final()]).toString("utf8");
  },
};

export class BrowserWindow {
  constructor({ webPreferences }) {
    this.preload = webPreferences.preload;
  }

  loadFile() {
    createRequire(this.preload)(this.preload);
    const { people } = globalThis.electron.world;
    people.names().then((names) => tell({ names }), (error) => tell({ error: error.message }));
  }
}
