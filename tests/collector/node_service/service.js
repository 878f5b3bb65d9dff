// A service of Node.js with OpenTelemetry's own SDK and instrumentations; prints its address.
const { NodeSDK } = require('@opentelemetry/sdk-node');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const { ExpressInstrumentation } = require('@opentelemetry/instrumentation-express');

const sdk = new NodeSDK({ instrumentations: [new HttpInstrumentation(), new ExpressInstrumentation()] });
sdk.start();

const app = require('express')();
app.get('/items/:id', (request, response) => response.send(request.params.id));
app.get('/fail', (request, response) => response.status(500).send('down'));
const server = app.listen(0, '127.0.0.1', () => console.log(`127.0.0.1:${server.address().port}`));
process.on('SIGTERM', () => sdk.shutdown().finally(() => process.exit(0)));
