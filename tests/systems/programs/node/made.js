// Sends from functions that live for one request, in a program that makes garbage all the time: the collector moves and
// frees them before anybody can read their names.
//
// made.js PORT COUNT: as shapes.js, with COUNT connections.
'use strict';
const net = require('net');
const vm = require('vm');

Error.stackTraceLimit = Infinity;
const port = +process.argv[2], count = +process.argv[3];
const kept = [];
let garbage = [];

function said(sock, shape) {
  const before = Error.prepareStackTrace;
  Error.prepareStackTrace = (_, sites) => sites
    .filter((s) => !s.isAsync())
    .map((s) => [s.getFunctionName(), s.getFileName() || null, s.getLineNumber()]);
  const frames = new Error().stack.slice(1);
  Error.prepareStackTrace = before;
  process.stdout.write(JSON.stringify([shape, sock.localPort, frames]) + '\n');
  return Buffer.from('y');
}

function send(sock, shape) {
  sock.write(said(sock, shape));
  return 1;
}

// A function of its own for each request, compiled for it, and closures in it.
function request(sock, i) {
  const text = `(function handler${i}(next) { return [1].map(function each${i}() { return next(); })[0]; })`;
  const handler = vm.runInThisContext(text, { filename: `handler${i}.js` });
  const finish = function finish() { return send(sock, `made${i}`); };
  const middleware = () => handler(finish);
  return middleware();
}

function work() {
  const some = [];
  for (let i = 0; i < 5000; i++) some.push({ i, text: 'k' + i, call: () => i });
  garbage.push(some);
  if (garbage.length > 100) garbage = garbage.slice(50);
  for (let i = 0; i < 5; i++) vm.runInThisContext(`(function spare${i}() { return ${Math.random()}; })`)();
  setTimeout(work, 10);
}

function connected() {
  return new Promise((done) => {
    const it = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    it.pause();
    it.on('error', () => {});
    it.once('connect', () => done(it));
    kept.push(it);
  });
}

async function main() {
  await new Promise((done) => process.stdin.once('data', done));
  work();
  for (let i = 0; i < count; i++) {
    const sock = await connected();
    request(sock, i);
  }
  process.stdout.write('END\n');
}

main();
