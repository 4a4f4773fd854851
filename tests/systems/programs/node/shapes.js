// Sends one byte from below many shapes of JavaScript stacks, and says each time where it is.
//
// shapes.js PORT: it begins when it gets a line. Each shape has a connection of its own to PORT on 127.0.0.1, which is
// never read. The line printed before has the shape's name, the connection's local port, and [function, file, line] of
// each frame, innermost first, as Error.prepareStackTrace has them (null: V8 has none). At the end it prints "END" and
// waits. Runs on Node.js 18 and later.
'use strict';
const net = require('net');
const vm = require('vm');
const events = require('events');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

Error.stackTraceLimit = Infinity;
const kept = [];
let shape, sock, quiet = false, done = false;

function tell(line) {
  if (isMainThread) process.stdout.write(line + '\n');
  else parentPort.postMessage(line);
}

function said() {
  const before = Error.prepareStackTrace;
  Error.prepareStackTrace = (_, sites) => sites
    .filter((s) => !s.isAsync())
    .map((s) => [s.getFunctionName(), s.getFileName() || null, s.getLineNumber()]);
  const frames = new Error().stack.slice(1);
  Error.prepareStackTrace = before;
  tell(JSON.stringify([shape, sock.localPort, frames]));
  return shape.startsWith('string') ? 'y' : Buffer.from('y');
}

function leaf() {
  if (quiet || done) return 0;
  done = true;
  sock.write(said());
  return 1;
}

function deep(n) {
  return n <= 0 ? leaf() : deep(n - 1);
}

class Account {
  #hidden(n) { return n <= 0 ? leaf() : this.method(n - 1); }
  method(n) {
    return this.#hidden(n);
  }
  static ofClass() { return leaf(); }
  get balance() { return leaf(); }
  constructor(now) { if (now) leaf(); }
}
class Savings extends Account { method(n) { return super.method(n); } }

const counter = (n) => { const inner = () => (n > 0 ? counter(n - 1)() : leaf()); return inner; };
function* numbers() { yield leaf(); }
const bound = function original(a, b) { return leaf() + a + b; }.bind(null, 1);
const handlers = { 'quoted name': () => leaf(), shorthand() { return leaf(); }, value: function () { return leaf(); } };
const account = new Account(false);
function hop(n) { return n <= 0 ? leaf() : skip(n - 1) + 1; }
function skip(n) { return n <= 0 ? leaf() : hop(n - 1) * 2; }
const step = (n) => (n <= 0 ? leaf() : [n - 1].map((m) => step(m))[0]);

function warmed(call, times) {
  quiet = true;
  for (let i = 0; i < times; i++) call();
  quiet = false;
  return call();
}

const shapes = {
  deep8: () => deep(8),
  deep30: () => deep(30),
  deep60: () => deep(60),
  string8: () => deep(8),
  string30: () => deep(30),
  methods: () => account.method(4),
  inherited: () => new Savings(false).method(2),
  classMethod: () => Account.ofClass(),
  getter: () => account.balance,
  constructed: () => new Account(true),
  closures: () => counter(4)(),
  generator: () => numbers().next(),
  bound: () => bound(2),
  literals: () => handlers['quoted name']() + handlers.shorthand() + 0,
  property: () => handlers.value(),
  map: () => [1].map(() => leaf()),
  sort: () => [2, 1].sort((a, b) => { leaf(); return a - b; }),
  reduce: () => [1, 2].reduce((all, one) => all + one + leaf(), 0),
  replace: () => 'x'.replace(/x/, () => leaf()),
  apply: () => Reflect.apply(deep, null, [2]),
  proxied: () => new Proxy(deep, {})(2),
  json: () => JSON.stringify({ toJSON() { return leaf(); } }),
  evaluated: () => eval('(function inEval() { return leaf(); })')(),
  made: () => new Function('leaf', 'return leaf();')(leaf),
  script: () => vm.runInThisContext('(function inScript(leaf) {\n  return leaf();\n})', { filename: 'made.js' })(leaf),
  emitted: () => { const e = new events(); e.on('it', function onIt() { leaf(); }); e.emit('it'); },
  asynchronous: async () => { await null; const inner = async () => { await null; return leaf(); }; return inner(); },
  awaited: async () => { const inner = async () => { await null; leaf(); }; await inner(); },
  then: () => Promise.resolve(1).then(function onThen() { return leaf(); }),
  immediate: () => new Promise((end) => setImmediate(function onImmediate() { end(leaf()); })),
  tick: () => new Promise((end) => process.nextTick(function onTick() { end(leaf()); })),
  timer: () => new Promise((end) => setTimeout(function onTimer() { end(leaf()); }, 1)),
  microtask: () => new Promise((end) => queueMicrotask(function onMicrotask() { end(leaf()); })),
  warm: () => warmed(() => hop(8), 300),
  hot: () => warmed(() => hop(8), 30000),
  hotDeep: () => warmed(() => hop(24), 30000),
  hotClass: () => warmed(() => account.method(6), 30000),
  hotMap: () => warmed(() => step(4), 30000),
};
const inWorker = ['deep8', 'deep30', 'methods', 'asynchronous', 'hot'];

function connected() {
  return new Promise((end) => {
    const port = isMainThread ? +process.argv[2] : workerData;
    const it = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    it.pause();
    it.on('error', () => {});
    it.once('connect', () => end(it));
    kept.push(it);
  });
}

async function all(names, prefix) {
  for (const name of names) {
    sock = await connected();
    shape = prefix + name;
    quiet = done = false;
    await shapes[name]();
  }
}

async function main() {
  await new Promise((done) => process.stdin.once('data', done));
  await all(Object.keys(shapes), '');
  const worker = new Worker(__filename, { workerData: +process.argv[2] });
  worker.on('message', (line) => { if (line === 'END') tell('END'); else tell(line); });
  setInterval(() => {}, 1000);
}

if (isMainThread) main();
else all(inWorker, 'worker-').then(() => { tell('END'); setInterval(() => {}, 1000); });
