// A basket service with node:http: /basket/ID takes prices from a backend through a keep-alive agent.
// basket_service.js [resuming] BACKEND. It prints its port. An ID is the backend's path.
'use strict';
const http = require('http');

const BACKEND = process.argv.find((word) => word.includes('://'));
const RESUMING = process.argv.includes('resuming');
const agent = new http.Agent({ keepAlive: true });

function askForPrices(id, done) {
  http.get(`${BACKEND}/${id}`, { agent }, (response) => onPrices(response, done)).on('error', done);
}

function onPrices(response, done) {
  if (response.statusCode !== 200) {
    if (RESUMING) response.resume();
    done(new Error(`the backend said ${response.statusCode}`));
    return;
  }
  let text = '';
  response.on('data', (data) => { text += data; });
  response.on('end', () => done(null, text));
}

const server = http.createServer((request, answer) => {
  askForPrices(request.url.replace('/basket/', ''), (error, prices) => {
    answer.statusCode = error ? 502 : 200;
    answer.end(error ? `${error.message}\n` : prices);
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
