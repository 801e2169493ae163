// The categories' pictures: attachments, which an <img> can only load by a signed address.

import { api } from "/kit/session.js";

const VALID_S = 3600;
const RENEW_MS = (VALID_S - 300) * 1000;

export class Pictures {
  #token;
  #urls = new Map();
  #signedAt = 0;

  constructor(token) {
    this.#token = token;
  }

  /** Signs the addresses of these categories' pictures, for an hour. */
  async sign(categoryIds) {
    const ids = [...categoryIds];
    const paths = ids.map(
      (id) => `/api/v1/apps/inventory/collections/categories/documents/${id}/attachments/picture.jpg`,
    );
    const { urls } = await api(this.#token, "POST", "/api/v1/apps/inventory/sign", { paths, expires_in: VALID_S });
    this.#urls = new Map(ids.map((id, i) => [id, urls[i]]));
    this.#signedAt = Date.now();
  }

  /** Signs anew when the addresses end soon; true when it did. */
  async renew(categoryIds) {
    if (Date.now() - this.#signedAt < RENEW_MS) return false;
    await this.sign(categoryIds);
    return true;
  }

  /** The picture's address, or null. */
  url(categoryId) {
    return this.#urls.get(categoryId) ?? null;
  }
}
