// Node's http.Agent: an idle connection is closed when the peer hangs up; a response that nobody reads is paused.
'use strict';
const http = require('http');
const { lead, atOnce } = require('./led.js');

const agent = new http.Agent({ keepAlive: true });
const ask = (url) => new Promise((resolve, reject) => http.get(url, { agent }, resolve).on('error', reject));
const LARGE = '200/600000/100000';

lead({
  idle: (base) => atOnce(async () => {
    const response = await ask(`${base}/200/12`);
    response.resume();
    await new Promise((resolve) => response.once('end', resolve));
  }),
  kept: (base) => atOnce(() => ask(`${base}/${LARGE}`)),
  resumed: (base) => atOnce(async () => {
    const response = await ask(`${base}/${LARGE}`);
    response.on('error', () => {});
    response.resume();
  }),
  destroyed: (base) => atOnce(async () => (await ask(`${base}/${LARGE}`)).destroy()),
});
