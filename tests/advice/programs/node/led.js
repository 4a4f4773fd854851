// How a cell's program in Node is led: it says `ready`, works after a line on stdin, says `done`, and ends with stdin.
'use strict';

exports.COUNT = 3;

exports.lead = (modes) => {
  const [mode, port, value] = process.argv.slice(2);
  console.log('ready');
  process.stdin.once('data', async () => {
    const kept = await modes[mode](`http://127.0.0.1:${port}`, value);
    console.log('done');
    process.stdin.on('end', () => process.exit(kept === undefined ? 0 : 0));
  });
};

// The asynchronous call COUNT times at the same time.
exports.atOnce = (call) => Promise.all(Array.from({ length: exports.COUNT }, call));
