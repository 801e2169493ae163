// A product that was changed in two places at once: what differs, and the choice that ends it.

import { h } from "/kit/dom.js";
import { number, price } from "/kit/format.js";
import { FIELDS } from "./edit.js";

const SHOWN = { UnitPrice: price, ReorderLevel: number };
const nothing = "nothing";

/** The fields in which versions differ, each with its values, the shown version's first: `[[field, [value, …]], …]`. */
export function differing(versions) {
  const fields = new Set(versions.flatMap((version) => Object.keys(version)).filter((field) => !field.startsWith("_")));
  return [...fields]
    .map((field) => [field, [...new Map(versions.map((v) => [JSON.stringify(v[field] ?? null), v[field] ?? null])).values()]])
    .filter(([, values]) => values.length > 1);
}

const titleOf = (field) => FIELDS[field]?.title ?? field;

function written(field, value) {
  if (value === null || value === "") return nothing;
  return SHOWN[field] ? SHOWN[field](value) : typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** The form for these versions. `settle(chosen)` is awaited with the field's chosen values; what it throws is shown. */
export function drawVersions(versions, settle) {
  const fields = differing(versions);
  const chosen = Object.fromEntries(fields.map(([field, [first]]) => [field, first]));
  const outcome = h("p", { class: "error-text", "aria-live": "polite" });
  const submit = h("button", { class: "button primary", type: "submit" }, fields.length ? "Keep these" : "Keep one");
  return h(
    "form",
    {
      class: "versions",
      "aria-labelledby": "versions-title",
      onSubmit: async (event) => {
        event.preventDefault();
        submit.disabled = true;
        try {
          await settle(chosen);
        } catch (error) {
          submit.disabled = false;
          outcome.textContent = `Not kept: ${error.message}`;
        }
      },
    },
    h("h3", { id: "versions-title" }, `Changed in ${versions.length === 2 ? "two" : number(versions.length)} places`),
    h(
      "p",
      { class: "hint" },
      fields.length ? "What comes first is what everyone sees now. The rest stays until you choose." : "All say the same.",
    ),
    fields.map(([field, values]) =>
      h(
        "fieldset",
        { class: "version-field" },
        h("legend", {}, titleOf(field)),
        h(
          "div",
          { class: "segments" },
          values.map((value, i) =>
            h(
              "label",
              {},
              h("input", { type: "radio", name: field, checked: i === 0, onChange: () => (chosen[field] = value) }),
              h("span", { class: "version-value" }, written(field, value)),
            ),
          ),
        ),
      ),
    ),
    outcome,
    submit,
  );
}
