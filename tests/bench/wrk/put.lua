-- PUT one new document of 319 bytes per request below the path in the first argument. The second is a
-- prefix that makes the ids of this run its own.
dofile(debug.getinfo(1, "S").source:match("@?(.*/)") .. "common.lua")

local path, prefix, at, body = "", "", 0, ""

function init(args)
  path, prefix = args[1], args[2]
  wrk.headers["Content-Type"] = "application/json"
  body = string.format('{"type":"item","name":"Item 000001","price":12.5,"note":"%s"}', string.rep("x", 253))
end

function request()
  at = at + 1
  return wrk.format("PUT", path .. "/" .. prefix .. at, nil, body)
end
