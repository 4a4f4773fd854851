// ping.js FRAMES: one-byte writes over loopback from FRAMES functions, both ends in this process. The event loop
// receives the bytes of SENDS writes at once. It prints a line when it is ready. Each line that it reads is the seconds
// of a batch. It answers with the calls that it made.
"use strict";
const net = require("node:net");
const readline = require("node:readline");

const FRAMES = Number(process.argv[2]);
const SENDS = 50;
let calls = 0;
let until = 0;
let received = 0;

function send(socket) {
  for (let i = 0; i < SENDS; i++) socket.write("x");
  calls += SENDS;
}

function descend(left, socket) {
  if (left > 0) descend(left - 1, socket);
  else send(socket);
}

const say = () => console.log(JSON.stringify({ calls }));

const server = net.createServer((far) => {
  const near = client;
  far.on("data", (data) => {
    calls += 1;
    received += data.length;
    if (received < SENDS) return;
    received = 0;
    if (performance.now() < until) descend(FRAMES, near);
    else say();
  });
  readline.createInterface({ input: process.stdin }).on("line", (line) => {
    calls = 0;
    until = performance.now() + 1000 * Number(line);
    descend(FRAMES, near);
  });
  say();
});
let client;
server.listen(0, "127.0.0.1", () => {
  client = net.connect({ port: server.address().port, host: "127.0.0.1", noDelay: true });
});
