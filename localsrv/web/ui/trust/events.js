// The events of the audit log in words: name, what it says, and whether it is a matter of concern. No elements here.

/** Event → its name and what it says. */
export const EVENTS = {
  "sign-in": ["Signed in", "A page swapped a code for its token, or a client used its grant for the first time in a day."],
  "sign-in-failed": ["Sign-in failed", "A token or password was not known, had ended, or came from the wrong origin."],
  "code-failed": ["Code failed", "A code that pairs or opens a page was wrong, used or too old."],
  "request-made": ["Asked for access", "A program or page asked for access."],
  "request-approved": ["You allowed", "You allowed what a program or page asked for."],
  "request-refused": ["You refused", "You refused what a program or page asked for."],
  "request-muted": ["Not heard", "One that was refused twice asked again and was not shown."],
  "request-expired": ["Ran out", "Nobody decided in time."],
  "grant-created": ["Access given", "A grant was made."],
  "grant-revoked": ["Access ended", "A grant was ended."],
  "token-refreshed": ["Token renewed", "A client renewed its token."],
  "token-reused": ["Token used twice", "A spent refresh token came again; its grant was ended."],
  "secret-set": ["Secret set", "A secret was stored."],
  "secret-removed": ["Secret removed", "A secret was removed."],
  "secret-moved": ["Secret moved", "A secret was moved to another vault."],
  "secret-used": ["Secret used", "A secret was used for a request."],
  "vault-unlocked": ["Vault unlocked", "The vault was unlocked."],
  "vault-unlock-failed": ["Unlocking failed", "A passphrase was wrong."],
  "integration-set": ["Integration set", "An integration was set up, changed or removed."],
  "integration-refused": ["Call refused", "A call through an integration was refused before it left."],
};

const BAD = new Set(["sign-in-failed", "code-failed", "token-reused", "vault-unlock-failed", "integration-refused", "request-muted"]);
const GOOD = new Set(["request-approved", "grant-created", "vault-unlocked"]);

/** `bad`, `good` or `plain`. */
export const toneOf = (event) => (BAD.has(event) ? "bad" : GOOD.has(event) ? "good" : "plain");
