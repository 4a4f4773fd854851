-- SPDX-License-Identifier: Apache-2.0
-- Keeps a connection whose peer hangs up, when led to (tests/advice/led.py). Its arguments: any word, the port.
local socket = require("socket")

local kept = {}

local function read_answer(connection)
  return connection:receive(10)
end

local function fetch_price(port)
  local connection = assert(socket.connect("127.0.0.1", port))
  connection:send("price?\n")
  local answer = read_answer(connection)
  kept[#kept + 1] = connection
  return answer
end

io.stdout:setvbuf("no")
print("ready")
io.read("l")
fetch_price(tonumber(arg[2]))
print("done")
io.read("l")
