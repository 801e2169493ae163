// Words, as the full-text index holds them.

import { folded } from "/kit/format.js";

/** The words of a text, without accents and case. */
export const wordsOf = (text) => folded(text).match(/[\p{L}\p{N}]+/gu) ?? [];

/** Whether a text has, for each of `words`, one that begins so. */
export function holds(text, words) {
  const parts = wordsOf(text);
  return words.every((word) => parts.some((part) => part.startsWith(word)));
}
