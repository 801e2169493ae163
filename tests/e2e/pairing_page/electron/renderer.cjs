// What a preload script gets from Electron; see main.js.

exports.contextBridge = { exposeInMainWorld: (name, value) => (globalThis.electron.world[name] = value) };
exports.ipcRenderer = { invoke: (name) => globalThis.electron.invoke(name) };
