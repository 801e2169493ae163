-- POST one new document per request to the path in the first argument. The bodies are made once, so that
-- the generator does nothing but send.
dofile(debug.getinfo(1, "S").source:match("@?(.*/)") .. "common.lua")

local requests, at = {}, 0

function init(args)
  local path = args[1]
  wrk.headers["Content-Type"] = "application/json"
  for i = 1, 1000 do
    local body = string.format(
      '{"name":"Item %06d","category":%d,"price":%.2f,"note":"%s"}', i, i, i / 7, string.rep("x", 100))
    requests[i] = wrk.format("POST", path, nil, body)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
