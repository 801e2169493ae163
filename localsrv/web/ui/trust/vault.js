// The vault in use: which it is and how it is, in words, and unlocking the sealed file.

import { fill, h, icon, toast } from "/kit/dom.js";
import { loading, problem } from "./room.js";

const SIGNS = { ok: ["good", "Unlocked"], unused: ["", "Not used yet"], locked: ["low", "Locked"], absent: ["low", "Missing"] };

export class VaultPanel {
  load;
  #place;
  #server;

  constructor(place, server) {
    this.#place = place;
    this.#server = server;
    this.load = loading(place, () => server.call("GET", "/api/v1/vault"), (vault) => this.#draw(vault));
  }

  #draw(vault) {
    const [kind, name] = SIGNS[vault.state] ?? ["out", "Trouble"];
    const isSealed = vault.kind === "sealed_file";
    const needs = isSealed && (vault.state === "locked" || vault.state === "absent");
    fill(
      this.#place,
      h(
        "section",
        { class: "vault", "aria-label": "Vault" },
        icon("lock"),
        h(
          "div",
          {},
          h("h3", {}, "Where they lie ", h("span", { class: `badge ${kind}` }, name)),
          h("p", {}, sentence(vault.message)),
          !isSealed && vault.state === "locked" && h("p", { class: "hint" }, "Unlock the keyring of your desktop: it asks when you sign in, or in its own settings."),
          needs && this.#unlocking(vault.state === "absent"),
        ),
        isSealed && vault.state === "ok" && h("button", { class: "button", type: "button", onClick: () => this.#lock() }, "Lock"),
      ),
    );
  }

  #unlocking(isNew) {
    const input = (id, complete) => h("input", { class: "input", id, type: "password", required: true, autocomplete: complete });
    const first = input("passphrase", isNew ? "new-password" : "current-password");
    const second = input("passphrase-again", "new-password");
    const told = h("p", { class: "error-text", role: "alert" });
    const send = h("button", { class: "button primary", type: "submit" }, isNew ? "Make it" : "Unlock");
    const form = h(
      "form",
      { class: "unlock" },
      h("div", { class: "field" }, h("label", { for: "passphrase" }, isNew ? "A passphrase for the sealed file" : "Passphrase"), first),
      isNew && h("div", { class: "field" }, h("label", { for: "passphrase-again" }, "Again"), second),
      send,
      isNew && h("p", { class: "hint" }, "Nobody can open the file without it, nor tell you what it was."),
      told,
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (isNew && first.value !== second.value) {
        told.textContent = "The two are not the same.";
        return;
      }
      send.disabled = true;
      try {
        this.#draw(await this.#server.call("POST", "/api/v1/vault/unlock", { passphrase: first.value, create: isNew }));
        toast(isNew ? "The sealed file is made" : "Unlocked");
      } catch (error) {
        told.textContent = problem(error);
        first.select();
      } finally {
        send.disabled = false;
      }
    });
    return form;
  }

  async #lock() {
    try {
      this.#draw(await this.#server.call("POST", "/api/v1/vault/lock"));
      this.#place.querySelector("input")?.focus();
    } catch (error) {
      toast(problem(error));
    }
  }
}

/** "the keyring of your desktop, unlocked" as a sentence. */
const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
