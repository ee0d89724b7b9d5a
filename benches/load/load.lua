-- What wrk sends. Settings from the environment:
--   KIND     token: forms for the clients in $CLIENTS, `id secret` a line, in turn
--            approle: the same as logins of OpenBao
--            numbered: forms for $COUNT agents from number $FIRST on, at random, all with $SECRET
--   ONCE     1: every client once, in order; then `ALL` is printed, and whoever started wrk ends it
--   EXPECT   the status that is counted as right; unset: any 2xx, which costs the client nothing
local kind, expect = os.getenv("KIND"), tonumber(os.getenv("EXPECT") or "")
local once = os.getenv("ONCE") == "1"
local first, count = tonumber(os.getenv("FIRST") or "1"), tonumber(os.getenv("COUNT") or "0")
-- wrk makes one request that it does not send, to look at it.
local sent, bodies, head = -1, {}, nil
local threads = {}

answered, wrong = 0, 0 -- read by done()

function setup(thread) threads[#threads + 1] = thread end

local function form(id, secret)
  return "grant_type=client_credentials&client_id=" .. id .. "&client_secret=" .. secret .. "&scope=agents%3Aread"
end

local FORM = { ["Content-Type"] = "application/x-www-form-urlencoded" }

-- agent number 255 is 00000000-0000-4000-8000-0000000000ff
local function numbered(number) return string.format("00000000-0000-4000-8000-%012x", number) end

function init()
  if kind == "numbered" then
    -- All have one length: the head is formatted once.
    local whole = wrk.format("POST", nil, FORM, form(numbered(0), os.getenv("SECRET")))
    head = whole:match("^(.-)" .. "grant_type=")
    math.randomseed(os.time())
    return
  end
  for line in io.lines(os.getenv("CLIENTS")) do
    local id, secret = line:match("^(%S+) (%S+)$")
    if kind == "approle" then
      bodies[#bodies + 1] = wrk.format("POST", nil, { ["Content-Type"] = "application/json" },
        '{"role_id":"' .. id .. '","secret_id":"' .. secret .. '"}')
    else
      bodies[#bodies + 1] = wrk.format("POST", nil, FORM, form(id, secret))
    end
  end
  count = #bodies
end

function request()
  sent = sent + 1
  if kind ~= "numbered" then return bodies[(sent - 1) % count + 1] end
  local number = once and (sent - 1) % count or math.random(0, count - 1)
  return head .. form(numbered(first + number), os.getenv("SECRET"))
end

-- Once all are sent, a connection that is free waits: what it would send again would be counted as one that is missing.
if once then
  function delay() return sent < count and 0 or 3600 * 1000 end
end

-- wrk looks at each answer only if this function is there.
if once or expect then
  function response(status)
    answered = answered + 1
    if status ~= (expect or 200) then wrong = wrong + 1 end
    if once and answered == count then io.write("ALL\n") io.flush() end
  end
end

function done(summary, latency)
  local failed = summary.errors.status
  if once or expect then failed = 0 end
  for _, thread in ipairs(threads) do
    failed = failed + thread:get("wrong")
  end
  io.write(string.format("RESULT requests=%d us=%d p50=%d p99=%d max=%d failed=%d socket=%d\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max, failed,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
