-- GET the addresses in the file that the first argument names (one path per line), in turn. Other
-- arguments are headers, "Name: value".
dofile(debug.getinfo(1, "S").source:match("@?(.*/)") .. "common.lua")

local requests, at = {}, 0

function init(args)
  for i = 2, #args do
    local name, value = args[i]:match("^([^:]+): (.*)$")
    wrk.headers[name] = value
  end
  for path in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", path)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
