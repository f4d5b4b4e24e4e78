// What the scenarios of Node's amqplib share, run by `make interop` against a broker that a
// starter script runs on loopback (see ../brokers): Warren, or with BROKER=rabbitmq the peer.
'use strict';

const assert = require('node:assert');
const {execFile} = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const {after, afterEach, before, beforeEach, test} = require('node:test');
const {promisify} = require('node:util');
const amqp = require('amqplib');

const PATIENCE = 20_000; // milliseconds that a scenario waits for what must come
const starter = process.env.BROKER_CMD || path.join(__dirname, '..', 'brokers', 'warren.sh');

// A broker below a folder; the starter knows how.
class Broker {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'interop'));

  async run(verb, ...args) {
    await promisify(execFile)(starter, [verb, this.folder, ...args]);
  }

  // Runs an operator's command.
  ctl(...args) {
    return this.run('ctl', ...args);
  }

  url() {
    return `amqp://guest:guest@${JSON.parse(fs.readFileSync(path.join(this.folder, 'ports.json'))).amqp}/`;
  }

  dial(options) {
    return amqp.connect(this.url(), options);
  }

  async end() {
    await this.run('stop');
    fs.rmSync(this.folder, {recursive: true});
  }
}

// Gives every scenario of a file one broker and a connection with a channel of its own.
function scenarios() {
  const scene = {broker: new Broker()};
  let made;
  before(() => scene.broker.run('start'));
  after(() => scene.broker.end());
  beforeEach(async () => {
    made = [];
    scene.connection = await scene.broker.dial();
    scene.connection.on('error', () => {}); // told by what was asked
    scene.channel = await scene.connection.createConfirmChannel();
  });
  afterEach(async () => {
    await scene.connection.close().catch(() => {});
    const last = await scene.broker.dial();
    const channel = await last.createChannel();
    for (const queue of made) await channel.deleteQueue(queue);
    await last.close();
  });
  // Declares a durable queue that goes with the scenario.
  scene.durable = async (args) => {
    const {queue} = await scene.channel.assertQueue(unique(), {durable: true, arguments: args});
    made.push(queue);
    return queue;
  };
  scene.exchange = async (kind, options) => {
    const {exchange} = await scene.channel.assertExchange(unique(), kind, {durable: false, autoDelete: true, ...options});
    return exchange;
  };
  scene.bound = async (exchange, key, args) => {
    const {queue} = await scene.channel.assertQueue('', {exclusive: true});
    await scene.channel.bindQueue(queue, exchange, key, args);
    return queue;
  };
  return scene;
}

let numbers = 0;
// A name that no other scenario uses.
const unique = () => `node.${process.pid}.${++numbers}`;

// What a scenario named in PENDING waits for is printed by the runner; it is not run.
const pending = new Set((process.env.PENDING || '').split(/\s+/).filter(Boolean));
function scenario(name, body) {
  const id = `${path.basename(require.main.filename, '.test.js')}:${name.replaceAll(' ', '-')}`;
  if (!pending.has(id)) test(name, {timeout: 5 * PATIENCE}, body);
}

// Publishes persistent messages to a queue, each confirmed.
async function put(channel, queue, ...bodies) {
  for (const body of bodies) channel.sendToQueue(queue, Buffer.from(body), {persistent: true});
  await channel.waitForConfirms();
}

// Consumes into a list with a way to wait for it.
async function consume(channel, queue, options) {
  const got = [];
  got.tag = (await channel.consume(queue, (message) => got.push(message), options)).consumerTag;
  got.take = async (...bodies) => {
    await eventually(`${bodies.length} deliveries`, () => got.length >= bodies.length);
    const first = got.splice(0, bodies.length);
    assert.deepStrictEqual(first.map((m) => m.content.toString()), bodies);
    return first;
  };
  return got;
}

// Waits for the next message of a queue.
const arrives = (channel, queue) => eventually(`a message in ${queue}`, () => channel.get(queue, {noAck: true}));

async function contents(channel, queue) {
  const bodies = [];
  for (let m = await channel.get(queue, {noAck: true}); m; m = await channel.get(queue, {noAck: true})) bodies.push(m.content.toString());
  return bodies;
}

const depth = async (channel, queue) => (await channel.checkQueue(queue)).messageCount;

async function eventually(what, ask) {
  for (const end = Date.now() + PATIENCE; Date.now() < end; await new Promise((next) => setTimeout(next, 10))) {
    const answer = await ask();
    if (answer) return answer;
  }
  throw new Error(`${what}: not within ${PATIENCE} ms`);
}

module.exports = {Broker, PATIENCE, arrives, consume, contents, depth, eventually, put, scenario, scenarios, unique};
