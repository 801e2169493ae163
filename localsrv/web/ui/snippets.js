// Texts that a person pastes into a program, for one collection. No elements here.

const q = JSON.stringify;

/** What to look at first: a column to filter by, and a value of its kind. */
function sample({ name, fields, key }) {
  return { name, column: key?.[0] ?? Object.keys(fields)[0] ?? "id" };
}

/** supabase-js, reading and, when `canWrite`, writing. */
export function javascript(url, token, collection, canWrite) {
  const { name, column } = sample(collection);
  const write = canWrite ? `\n\n// Writing: .insert({...}), .upsert({...}), .update({...}).eq(...), .delete().eq(...)` : "";
  return `// npm install @supabase/supabase-js
import { createClient } from "@supabase/supabase-js";

const localsrv = createClient(
  ${q(url)},
  ${q(token)},
);

const { data, error } = await localsrv
  .from(${q(name)})
  .select("*")
  .order(${q(column)})
  .limit(10);

if (error) throw error;
console.log(data);${write}
`;
}

/** Python, with nothing to install. */
export function python(url, token, collection, canWrite) {
  const { name, column } = sample(collection);
  const write = canWrite
    ? `\n\n# Writing: Request(..., data=json.dumps({...}).encode(), method="POST",
#          headers={**headers, "Content-Type": "application/json"})`
    : "";
  return `import json
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

url = ${q(`${url}/rest/v1/${name}`)}
headers = {"Authorization": ${q(`Bearer ${token}`)}}

query = urlencode({"select": "*", "order": ${q(column)}, "limit": 10}, quote_via=quote)
with urlopen(Request(f"{url}?{query}", headers=headers)) as answer:
    for row in json.load(answer):
        print(row)${write}
`;
}

/** curl. */
export function curl(url, token, collection, canWrite) {
  const { name, column } = sample(collection);
  const read = `curl --get ${shell(`${url}/rest/v1/${name}`)} \\
  --header ${shell(`Authorization: Bearer ${token}`)} \\
  --data-urlencode ${shell("select=*")} \\
  --data-urlencode ${shell(`order=${column}`)} \\
  --data-urlencode ${shell("limit=10")}
`;
  if (!canWrite) return read;
  return `${read}
# Writing: curl ${shell(`${url}/rest/v1/${name}`)} \\
#   --header ${shell(`Authorization: Bearer ${token}`)} \\
#   --json '{...}'
`;
}

const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
