// What a design document's functions find around them, and what the child process may ask of them.
//
// The file is one function expression. It is evaluated first in a fresh context, takes what it needs of the
// language before a stranger's code can change it, and returns `answer(operation, options, body)`, which gives
// JSON text. A failure is thrown as the array `["failure", error, reason]`, both texts, in CouchDB's words.
//
// Functions see CouchDB's names (docs.couchdb.org, «Query Server»): emit, sum, log, isArray, toJSON, and
// `require` of the CommonJS modules that the design document itself holds.

(function (send) {
  "use strict";

  const { parse, stringify } = JSON;
  const now = Date.now;
  const globals = globalThis;
  const evaluate = globals.eval; // called by another name it sees the global scope alone
  const SELDOM_MS = 100;
  const PART_LENGTH = 1 << 18; // of JSON text that is handed on at once; a single row may be longer
  const LONGEST_KEY = 1 << 20;
  const LONGEST_VALUE = 8 << 20; // as long as a document may be in CouchDB unless it is told otherwise
  const LONG_VALUE = 1 << 16;
  const LOG_LINES = 50;
  const LOG_LENGTH = 1000;

  let design = {};
  let modules = new Map();
  let compiled = new Map();
  let logged = [];
  let onEmit = () => {};

  // ── errors ───────────────────────────────────────────────────────────────────────────────────────────────

  const failure = (error, reason) => ["failure", String(error), String(reason)];

  const isFailure = (error) => Array.isArray(error) && error[0] === "failure";

  const isError = (value) =>
    typeof value === "object" && value !== null && "name" in value && "message" in value && "stack" in value;

  function worded(error) {
    if (isError(error)) return `${error.name}: ${error.message}`;
    return typeof error === "string" ? error : text(error);
  }

  /** The failure of the whole request, where what a function threw means that: memory is gone, or it asked. */
  function ending(error) {
    if (error === null) return failure("InternalError", "out of memory"); // not even an error object fits
    if (error === "fatal_error") return failure("map_runtime_error", "function raised 'fatal_error'");
    if (Array.isArray(error) && error[0] === "fatal") return failure(error[1], error[2]);
    if (isError(error) && error.name === "InternalError") return failure("InternalError", error.message);
    return null;
  }

  const fatal = (error) => (isFailure(error) ? error : ending(error));

  // ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** JSON of anything; half of a surrogate pair, which no UTF-8 can carry, becomes U+FFFD. */
  function text(value) {
    const made = stringify(value);
    if (made === undefined) return "null";
    if (!made.includes("\\ud")) return made;
    return made.replace(/\\(?:u(d[89a-f][0-9a-f]{2})|[^])/g, (all, half) => (half ? "\ufffd" : all));
  }

  const plain = (value) => (isError(value) ? { error: value.name, message: value.message } : value);

  // ── what functions may call ──────────────────────────────────────────────────────────────────────────────

  function log(message) {
    if (logged.length >= LOG_LINES) return;
    const line = typeof message === "string" ? message : text(plain(message));
    logged.push(line.slice(0, LOG_LENGTH).toWellFormed());
  }

  function sum(values) {
    let total = 0;
    for (const i in values) total += values[i];
    return total;
  }

  function offer(environment) {
    for (const name of Object.keys(environment)) {
      Object.defineProperty(globals, name, {
        value: environment[name],
        writable: true,
        configurable: true,
        enumerable: false,
      });
    }
  }

  offer({
    emit: (key, value) => onEmit(key, value),
    sum,
    log,
    isArray: Array.isArray,
    toJSON: text,
    require: (path) => load(path, null),
  });

  // ── modules: CommonJS within the design document ─────────────────────────────────────────────────────────

  function find(path, from) {
    const names = path.split("/");
    let at = names[0] === "." || names[0] === ".." ? from.slice(0, -1) : [];
    for (const name of names) {
      if (name === ".") continue;
      if (name === "..") {
        if (at.length === 0) throw failure("invalid_require_path", `Object has no parent: ${path}`);
        at = at.slice(0, -1);
      } else {
        at = [...at, name];
      }
    }
    let value = design;
    for (const name of at) {
      if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) {
        throw failure("invalid_require_path", `Object has no property "${name}". ${path}`);
      }
      value = value[name];
    }
    if (typeof value !== "string") {
      throw failure("invalid_require_path", `Must require a JavaScript string, not: ${typeof value}`);
    }
    return { at, source: value };
  }

  function load(path, from) {
    if (from === null && (path.startsWith("./") || path.startsWith("../"))) {
      throw failure("invalid_require_path", `Object has no parent: ${path}`);
    }
    const { at, source } = find(path, from ?? []);
    const id = at.join("/");
    const known = modules.get(id);
    if (known !== undefined) return known.exports; // half made, when two modules require each other
    const module = { id, exports: {} };
    modules.set(id, module);
    try {
      const wrapped = evaluate(`(function (module, exports, require) { ${source}\n })`);
      wrapped.call(globals, module, module.exports, (inner) => load(inner, at));
    } catch (error) {
      modules.delete(id);
      throw fatal(error) ??
        failure("compilation_error", `Module require('${path}') raised error ${worded(error)}`);
    }
    return module.exports;
  }

  // ── functions ────────────────────────────────────────────────────────────────────────────────────────────

  /** A function from its source: an expression, whatever stands around it (comments, a semicolon). */
  function compile(source) {
    const known = compiled.get(source);
    if (known !== undefined) return known;
    let made;
    try {
      try {
        made = evaluate(`(${source.replace(/[\s;]+$/, "")}\n)`);
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
        made = evaluate(source); // its last statement's value, or the name of what it declares
        const named = /^\s*function\s+([\w$]+)/.exec(source);
        if (made === undefined && named) made = evaluate(named[1]);
      }
    } catch (error) {
      throw fatal(error) ?? failure("compilation_error", `${worded(error)} (${source})`);
    }
    if (typeof made !== "function") {
      throw failure("compilation_error", `Expression does not eval to a function. (${source})`);
    }
    compiled.set(source, made);
    return made;
  }

  /** The function at a path of the design document, such as ["filters", "mine"]. */
  function at(path) {
    let value = design;
    for (const name of path) {
      value = typeof value === "object" && value !== null && Object.hasOwn(value, name) ? value[name] : undefined;
    }
    if (typeof value !== "string" || value === "") {
      throw failure("not_found", `missing ${path[0]} function ${path[1] ?? path[0]} on design doc ${design._id}`);
    }
    return compile(value);
  }

  // ── operations ───────────────────────────────────────────────────────────────────────────────────────────

  const linesOf = (body) => (body === "" ? [] : body.split("\n"));

  /** Takes results and hands them on as they come: every `everyMs`, and sooner where they are long. */
  function outbox(everyMs) {
    let results = [];
    let length = 0;
    let last = now();
    return {
      add(result) {
        results.push(result);
        length += result.length;
        if (length < PART_LENGTH && now() - last < everyMs) return;
        send(`[${results.join(",")}]`);
        results = [];
        length = 0;
        last = now();
      },
      rest: () => `[${results.join(",")}]`,
    };
  }

  /** Calls `one` with every line of `body`, in order, and hands on the results now and then as they come. */
  function each(body, everyMs, one) {
    const results = outbox(everyMs);
    for (const line of linesOf(body)) results.add(one(line));
    return results.rest();
  }

  /**
   * One map function over one document: adds the JSON of its rows to `found`, each `[number, key, value]`. A long
   * value comes as text, `[number, key, null, text]`, so that nobody need take it apart to keep it.
   */
  function mapInto(found, number, map, line) {
    const before = found.length;
    onEmit = (key, value) => {
      const shown = text(key);
      const kept = text(plain(value));
      if (shown.length > LONGEST_KEY) throw new RangeError("The key of a row is longer than 1 MB.");
      if (kept.length > LONGEST_VALUE) throw new RangeError("The value of a row is longer than 8 MB.");
      found.push(`[${number},${shown},${kept.length > LONG_VALUE ? `null,${text(kept)}` : kept}]`);
    };
    let doc;
    try {
      doc = parse(line); // a document of its own for each function: none sees what another did to it
      map(doc);
    } catch (error) {
      const end = ending(error);
      if (end) throw end;
      log(`function raised exception ${worded(error)} with doc._id ${doc?._id}`);
      found.length = before;
    }
  }

  /** Hands on the rows of one document, in parts where they are long. Returns how long they are. */
  function handOn(rows, results) {
    let all = 0;
    let length = 0;
    let first = 0;
    for (let i = 0; i < rows.length; i++) {
      length += rows[i].length;
      if (length < PART_LENGTH || i + 1 === rows.length) continue;
      results.add(`{"more":[${rows.slice(first, i + 1).join(",")}]}`);
      first = i + 1;
      all += length;
      length = 0;
    }
    results.add(`[${(first === 0 ? rows : rows.slice(first)).join(",")}]`);
    return all + length;
  }

  const operations = {
    /** Takes a design document in; `body` is its JSON. */
    design(options, body) {
      design = parse(body);
      modules = new Map();
      compiled = new Map();
      return "true";
    },

    /** Compiles the source of each line, a JSON text; gives for each null or `[error, reason]`. */
    compile({ every_ms }, body) {
      return each(body, every_ms ?? SELDOM_MS, (line) => {
        try {
          compile(parse(line));
          return "null";
        } catch (error) {
          if (!isFailure(error)) throw error;
          return text(error.slice(1));
        }
      });
    },

    /**
     * Maps a document a line with the functions of the sources `options.maps`. A document's rows may come in
     * parts, `{"more": rows}` and at last `rows`, but none before all its functions have ended: one that throws
     * has emitted nothing. Once the rows of all are longer than `options.most`, the documents behind are left.
     */
    map({ maps, every_ms, most }, body) {
      const functions = maps.map(compile);
      const results = outbox(every_ms ?? SELDOM_MS);
      let length = 0;
      for (const line of linesOf(body)) {
        const found = [];
        for (let i = 0; i < functions.length; i++) mapInto(found, i, functions[i], line);
        length += handOn(found, results);
        if (length > most) break;
      }
      return results.rest();
    },

    /** Reduces a group a line, each `[keys or null, values]`, by the function of the source `options.reduce`. */
    reduce({ reduce, rereduce, every_ms, threshold, ratio }, body) {
      const run = compile(reduce);
      return each(body, every_ms ?? SELDOM_MS, (line) => {
        const [keys, values] = parse(line);
        let made;
        try {
          made = text(plain(run(keys, values, rereduce)));
        } catch (error) {
          const end = ending(error);
          if (end) throw end;
          log(`function raised exception ${worded(error)}`);
          return "null";
        }
        if (made.length > threshold && made.length * ratio > line.length) {
          throw failure(
            "reduce_overflow_error",
            `Reduce output must shrink more rapidly: input size: ${line.length} output size: ${made.length}`,
          );
        }
        return made;
      });
    },

    /** Asks validate_doc_update about a candidate a line, each `[new, old]`; null lets it through. */
    validate({ user, security, every_ms }, body) {
      const run = at(["validate_doc_update"]);
      return each(body, every_ms ?? SELDOM_MS, (line) => {
        const [fresh, old] = parse(line);
        try {
          run.call(design, fresh, old, parse(user), parse(security));
          return "null";
        } catch (error) {
          if (isFailure(error) || (isError(error) && error.name === "InternalError")) throw fatal(error);
          return text(refusal(error));
        }
      });
    },

    /** Whether the filter `options.filter` lets the document of each line through. */
    filter({ filter, request, every_ms }, body) {
      const run = at(["filters", filter]);
      return each(body, every_ms ?? SELDOM_MS, (line) => {
        const doc = parse(line);
        return guarded(() => run.call(design, doc, parse(request))) ? "true" : "false";
      });
    },

    /** Whether the map function of the view `options.view` emits anything for the document of each line. */
    filter_view({ view, every_ms }, body) {
      const run = at(["views", view, "map"]);
      return each(body, every_ms ?? SELDOM_MS, (line) => {
        let emits = false;
        onEmit = () => {
          emits = true;
        };
        const doc = parse(line);
        guarded(() => run(doc));
        return emits ? "true" : "false";
      });
    },
  };

  /** `[error, reason]` for what validate_doc_update threw. */
  function refusal(error) {
    if (isError(error)) return [error.name, error.message];
    if (typeof error === "object" && error !== null) {
      for (const kind of ["forbidden", "unauthorized"]) {
        if (Object.hasOwn(error, kind)) return [kind, error[kind]];
      }
      const [first] = Object.keys(error);
      return ["unknown_error", first === undefined ? error : error[first]];
    }
    return ["unknown_error", error === undefined ? "undefined" : error];
  }

  /** Runs a function whose error is the caller's whole answer. */
  function guarded(run) {
    try {
      return run();
    } catch (error) {
      const end = fatal(error);
      if (end) throw end;
      const [kind, reason] = refusal(error);
      throw failure(kind, typeof reason === "string" ? reason : text(reason));
    }
  }

  return function answer(operation, options, body) {
    logged = [];
    onEmit = () => {};
    try {
      const result = operations[operation](parse(options), body);
      return `{"result":${result},"log":${text(logged)}}`;
    } catch (error) {
      const end = fatal(error) ?? failure(isError(error) ? error.name : "unknown_error", worded(error));
      return text({ error: end[1].toWellFormed(), reason: end[2].toWellFormed(), log: logged });
    }
  };
});
