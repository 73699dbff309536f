-- Requests for wrk, from environment variables: BENCH_BODY (a file), BENCH_TYPE (content type),
-- BENCH_JSON_BYTES (the binary extension's header, or empty), BENCH_VARYING (1: each head differs from the one before).
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
wrk.headers["Content-Type"] = os.getenv("BENCH_TYPE")
local json_bytes = os.getenv("BENCH_JSON_BYTES")
if json_bytes ~= "" then
  wrk.headers["Inference-Header-Content-Length"] = json_bytes
end

local function hex(digits)
  local text = {}
  for i = 1, digits do
    text[i] = string.format("%x", math.random(0, 15))
  end
  return table.concat(text)
end

-- What a service mesh (Istio with Envoy, B3 and W3C propagation) puts before a request.
local function mesh()
  local trace = hex(32)
  return {
    ["traceparent"] = "00-" .. trace .. "-" .. hex(16) .. "-01",
    ["x-request-id"] = hex(8) .. "-" .. hex(4) .. "-" .. hex(4) .. "-" .. hex(4) .. "-" .. hex(12),
    ["x-b3-traceid"] = trace,
    ["x-b3-spanid"] = hex(16),
    ["x-b3-parentspanid"] = hex(16),
    ["x-b3-sampled"] = "1",
    ["x-envoy-attempt-count"] = tostring(math.random(1, 3)),
    ["x-envoy-peer-metadata-id"] = "sidecar~10.1." .. math.random(0, 255) .. "." .. math.random(0, 255) .. "~web.shop~shop.svc.cluster.local",
    ["x-envoy-decorator-operation"] = "churn.shop.svc.cluster.local:80/*",
    ["x-forwarded-for"] = "10.2." .. math.random(0, 255) .. "." .. math.random(0, 255),
    ["x-forwarded-proto"] = "http",
  }
end

if os.getenv("BENCH_VARYING") == "1" then
  local ready, count, turn = {}, 1024, 0
  function init(_)
    math.randomseed(7)
    for i = 1, count do
      local headers = mesh()
      for name, value in pairs(wrk.headers) do
        headers[name] = value
      end
      ready[i] = wrk.format(nil, nil, headers)
    end
  end
  function request()
    turn = turn % count + 1
    return ready[turn]
  end
end

function done(summary, latency, _)
  local failed = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "microseconds": %d, "bytes": %d, "p50": %g, "p99": %g, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    failed.connect, failed.read, failed.write, failed.status, failed.timeout))
end
