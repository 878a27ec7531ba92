/** Scenarios: a wrong file gives its sentences, the same seed gives the same evening, and the program can be started, stopped and left without a centre. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { MovableClock, RunningClock } from '../../src/base/clock.ts';
import { CentreError } from '../../src/base/errors.ts';
import { following, hostAndPort, placesFor, readReady } from '../../simulators/addresses.ts';
import { readCommandLine } from '../../simulators/command-line.ts';
import { startDemoDevices } from '../../simulators/demo.ts';
import { ACTS_OF, DEVICE_CLASSES } from '../../simulators/device.ts';
import { plainLog } from '../../simulators/plain-log.ts';
import { planRound } from '../../simulators/plan.ts';
import { playScenario } from '../../simulators/player.ts';
import { loadScenario, readScenario, scenarioNames } from '../../simulators/read-scenario.ts';
import { accept, bodyOf, keepingLog, quiet, startBroker, startReceiver, until } from './counterparts.ts';

const GOOD = {
  name: 'small',
  says: 'Two devices.',
  begins: '20:00:00',
  ends: '20:10:00',
  devices: [
    { id: '26317', class: 'scaip-unit', flavour: 'essence', triggers: [{ id: '01', class: 'pendant' }] },
    { id: 'NJ-1103-0001', class: 'fall-sensor', municipality: '1103', group: 'sensors' },
  ],
  script: [{ at: '20:00:10', device: '26317', act: 'press', trigger: '01' }],
  people: [{ who: 'somebody', gapSeconds: [20, 60], does: [{ device: 'sensors', act: 'fall', again: 0.5 }] }],
};

const read = (json: unknown) => readScenario(typeof json === 'string' ? json : JSON.stringify(json), 'f.json');

function sentencesOf(json: unknown): string[] {
  try {
    read(json);
    return [];
  } catch (error) {
    if (!(error instanceof CentreError) || error.code !== 'config-invalid') throw error;
    return error.message.split('\n');
  }
}

await t.test('each mistake in a scenario file has its sentence', async (t) => {
  t.same(sentencesOf(GOOD), []);
  const [unit, sensor] = GOOD.devices;
  const [scripted] = GOOD.script;
  const [person] = GOOD.people;
  const habit = person?.does[0];
  const mistakes: [unknown, string][] = [
    ['{', 'f.json is not JSON.'],
    [[], 'f.json: The scenario must be an object (it is []).'],
    [
      { ...GOOD, nmae: 1 },
      'f.json: The scenario has an unknown field "nmae" (known are name, says, begins, ends, speed, seed, endless, devices, script, people).',
    ],
    [{ ...GOOD, says: '' }, 'f.json: says must be a text (it is "").'],
    [{ ...GOOD, begins: '8 pm' }, 'f.json: begins must be a time such as "18:05:00" (it is "8 pm").'],
    [{ ...GOOD, ends: '19:00:00', script: [], people: [] }, 'f.json: ends must be later than begins.'],
    [{ ...GOOD, speed: 0 }, 'f.json: speed must be a number from 0.1 to 1000 (it is 0).'],
    [{ ...GOOD, endless: 'yes' }, 'f.json: endless must be true or false.'],
    [{ ...GOOD, devices: [], script: [], people: [] }, 'f.json: devices must name at least one device.'],
    [{ ...GOOD, devices: [...GOOD.devices, unit] }, 'f.json: devices holds "26317" twice.'],
    [
      { ...GOOD, devices: [{ ...unit, class: 'toaster' }, sensor] },
      `f.json: devices[0].class must be one of ${DEVICE_CLASSES.join(', ')} (it is "toaster").`,
    ],
    [
      { ...GOOD, devices: [{ ...unit, flavour: 'acme' }, sensor] },
      'f.json: devices[0].flavour must be one of essence, possum, telealarm, doro, climax (it is "acme").',
    ],
    [{ ...GOOD, devices: [{ ...unit, municipality: '1103' }, sensor] }, 'f.json: devices[0].municipality does not belong to a scaip-unit.'],
    [{ ...GOOD, devices: [unit, { ...sensor, flavour: 'doro' }] }, 'f.json: devices[1].flavour does not belong to a fall-sensor.'],
    [
      { ...GOOD, devices: [unit, { ...sensor, municipality: 'Sola' }] },
      'f.json: devices[1].municipality must be four digits (it is "Sola").',
    ],
    [{ ...GOOD, devices: [unit, sensor, { ...unit, id: 'A1' }] }, 'f.json: devices[2].id must be 1 to 16 digits (it is "A1").'],
    [
      { ...GOOD, devices: [unit, sensor, { ...sensor, id: 'a/b' }] },
      'f.json: devices[2].id must be 1 to 64 of A-Z a-z 0-9 . _ - (it is "a/b").',
    ],
    [
      { ...GOOD, devices: [unit, sensor, { ...sensor, id: 'abc', count: 3 }] },
      'f.json: devices[2].id must end in digits to be counted up (it is "abc").',
    ],
    [
      {
        ...GOOD,
        devices: [
          {
            ...unit,
            triggers: [
              { id: '01', class: 'pendant' },
              { id: '', class: 'bell' },
            ],
          },
          sensor,
        ],
      },
      'f.json: devices[0].triggers[1].id must be a text (it is "").',
    ],
    [{ ...GOOD, script: {} }, 'f.json: script must be a list (it is {}).'],
    [
      { ...GOOD, script: [{ ...scripted, device: 'nobody', trigger: undefined }] },
      'f.json: script[0].device names no device and no group of this scenario (it is "nobody").',
    ],
    [
      { ...GOOD, script: [{ ...scripted, act: 'dance' }] },
      `f.json: script[0].act "dance" is nothing that a scaip-unit can do (it can ${ACTS_OF['scaip-unit'].join(', ')}).`,
    ],
    [{ ...GOOD, script: [{ ...scripted, trigger: '99' }] }, 'f.json: script[0].trigger "99" is no trigger of 26317.'],
    [{ ...GOOD, script: [{ ...scripted, at: '23:00:00' }] }, 'f.json: script[0].at lies outside the scenario.'],
    [{ ...GOOD, script: [{ ...scripted, at: undefined }] }, 'f.json: script[0].at is missing.'],
    [{ ...GOOD, script: [{ ...scripted, chance: 2 }] }, 'f.json: script[0].chance must be a number from 0 to 1 (it is 2).'],
    [{ ...GOOD, people: [{ ...person, gapSeconds: [60, 20] }] }, 'f.json: people[0].gapSeconds runs backwards (from 60 to 20).'],
    [{ ...GOOD, people: [{ ...person, gapSeconds: 60 }] }, 'f.json: people[0].gapSeconds must be two numbers, from and to (it is 60).'],
    [
      { ...GOOD, people: [{ ...person, gapSeconds: [0, 0] }] },
      'f.json: people[0].gapSeconds must leave at least a second between two deeds.',
    ],
    [{ ...GOOD, people: [{ ...person, from: '21:00:00' }] }, 'f.json: people[0] must live between begins and ends, and from before to.'],
    [{ ...GOOD, people: [{ ...person, does: [] }] }, 'f.json: people[0].does must hold at least one habit.'],
    [
      { ...GOOD, people: [{ ...person, does: [{ ...habit, follows: { act: 'mains-back', afterSeconds: [1, 2] } }] }] },
      `f.json: people[0].does[0].follows.act "mains-back" is nothing that a fall-sensor can do (it can ${ACTS_OF['fall-sensor'].join(', ')}).`,
    ],
  ];
  for (const [json, sentence] of mistakes) t.ok(sentencesOf(json).includes(sentence), sentence);
  t.ok(sentencesOf({ ...GOOD, says: 1, speed: 'fast', seed: -1 }).length === 3, 'all at once');
  t.throws(() => loadScenario('morning'), {
    code: 'config-invalid',
    message: 'There is no scenario "morning"; there are demo, evening, flaky, storm.',
  });
});

await t.test('the scenarios that come with it are right, and are what they say', async (t) => {
  t.same(scenarioNames(), ['demo', 'evening', 'flaky', 'storm']);
  for (const name of scenarioNames()) t.equal(loadScenario(name).name, name);
  const demo = planRound(loadScenario('demo'), 1103);
  const firstTen = demo.filter(({ atMs }) => atMs <= 10_000).map(({ device, act }) => `${device} ${act.name}`);
  t.same(firstTen, ['26317 press', 'NJ-1103-0001 fall'], 'two alarms within ten seconds');
  const events = demo.filter(({ because, act }) => because === 'the neighbourhood' && act.name !== 'repeat').map(({ atMs }) => atMs);
  t.ok(events.length > 30 && events.length < 90, `${events.length} new events in an hour`);
  const evening = new Set(planRound(loadScenario('evening'), 1103).map(({ act }) => act.name));
  for (const act of ['press', 'repeat', 'fall', 'test', 'battery-low', 'mains-lost', 'mains-back', 'walk'] as const)
    t.ok(evening.has(act), act);
  const storm = planRound(loadScenario('storm'), 1992);
  const lost = storm.filter(({ act }) => act.name === 'mains-lost').map(({ atMs }) => atMs);
  t.ok(lost.length >= 60 && Math.max(...lost) - Math.min(...lost) <= 10_000, 'many lose the mains within ten seconds');
  t.ok(
    storm.some(({ act, atMs }) => act.name === 'press' && atMs < Math.max(...lost)),
    'and somebody needs help meanwhile',
  );
});

await t.test('the plan: the same seed, the same lives; an endless scenario goes on without its script', async (t) => {
  const evening = loadScenario('evening');
  t.same(planRound(evening, 5), planRound(evening, 5));
  t.notSame(planRound(evening, 5), planRound(evening, 6));
  const demo = loadScenario('demo');
  const later = planRound(demo, 5, 1);
  t.ok(later.length > 30 && later.every(({ because }) => because !== 'script'));
  t.notSame(later, planRound(demo, 5, 2));
  const times = planRound(evening, 5).map(({ atMs }) => atMs);
  t.same(
    times,
    times.toSorted((a, b) => a - b),
  );
  const group = read({
    ...GOOD,
    devices: [...GOOD.devices, { id: '007', class: 'scaip-unit', flavour: 'doro', count: 3, group: 'street' }],
    script: [{ at: '20:01:00', withinSeconds: 10, device: 'street', act: 'mains-lost' }],
  });
  t.same(
    group.devices.slice(2).map(({ id }) => id),
    ['007', '008', '009'],
  );
  t.same(
    planRound(group, 1)
      .filter(({ because }) => because === 'script')
      .map(({ device }) => device)
      .toSorted(),
    ['007', '008', '009'],
  );
});

/** Plays one minute of it with a clock that is moved, and gives what the centre saw. */
async function playOnce(seed: number): Promise<string[]> {
  const broker = await startBroker();
  const receiver = await startReceiver('udp');
  receiver.behave(accept);
  const clock = new MovableClock();
  const log = keepingLog();
  const play = await playScenario({
    scenario: read(GOOD),
    seed,
    addresses: () => ({ mqtt: broker.address, scaip: [{ udp: `127.0.0.1:${receiver.port}`, tcp: null }] }),
    password: 'demo-device',
    clock,
    log,
  });
  await until('online', () => log.lines.some(({ event }) => event === 'link-up'));
  for (let second = 0; second < 300; second++) {
    const before = play.tally.delivered;
    const due = log.lines.filter(({ event }) => event === 'report-began').length;
    await clock.advance(1000);
    const began = log.lines.filter(({ event }) => event === 'report-began').length - due;
    await until(`second ${second}`, () => play.tally.delivered === before + began);
  }
  await play.stop();
  await play.stop();
  await receiver.stop();
  await broker.stop();
  t.equal(play.tally.notDelivered, 0);
  const errors = log.lines.filter(({ level }) => level === 'error');
  t.same(errors, []);
  // A retransmission more or less is the machine's doing, not the seed's.
  const overScaip = new Set(receiver.requests().map(bodyOf));
  return [...overScaip, ...broker.on('/alarm').map(({ topic, payload }) => `${topic} ${payload}`)];
}

await t.test('a run can be repeated exactly: the same seed gives the same bytes', async (t) => {
  const first = await playOnce(42);
  t.ok(first.length > 4, `${first.length} messages`);
  t.same(await playOnce(42), first);
  t.notSame(await playOnce(43), first);
});

await t.test('a scenario that ends says what was delivered, and the devices of the demo do as they should', async (t) => {
  const broker = await startBroker();
  const udp = await startReceiver('udp');
  const tcp = await startReceiver('tcp');
  for (const receiver of [udp, tcp]) receiver.behave(accept);
  t.teardown(async () => {
    for (const part of [broker, udp, tcp]) await part.stop();
  });
  const clock = new RunningClock();
  const addresses = () => ({ mqtt: broker.address, scaip: [{ udp: `127.0.0.1:${udp.port}`, tcp: `127.0.0.1:${tcp.port}` }] });
  const quick = read({ ...GOOD, speed: 1000, people: [] });
  const play = await playScenario({ scenario: quick, addresses, password: 'x', clock, log: keepingLog() });
  t.same(await play.finished, { delivered: 1, notDelivered: 0 });
  await play.stop();

  const moved = new MovableClock();
  const log = keepingLog();
  const scaip = { udp: `127.0.0.1:${udp.port}`, tcp: `127.0.0.1:${tcp.port}` };
  const demo = await startDemoDevices({ mqtt: broker.address, scaip, seed: 1103, log, clock: moved });
  await until('all seven are online', () => log.lines.filter(({ event }) => event === 'link-up').length === 7);
  const before = udp.requests().length;
  for (let tenths = 0; tenths < 100; tenths++) {
    await moved.advance(100);
    await quiet(1);
  }
  await until('the fall', () => broker.on('NJ-1103-0001/alarm').length === 1);
  t.ok(
    udp
      .requests()
      .slice(before)
      .some((text) => /<cid>26317<\/cid><dty>03<\/dty><did>01<\/did>.*<stc>010<\/stc>/.test(text)),
    'the press',
  );
  t.equal(
    tcp.requests().filter((text) => text.includes('<cid>10149471</cid>') && text.includes('<mty>PI</mty>')).length,
    1,
    'a heartbeat over TCP',
  );
  await demo.stop();
  t.equal(broker.connected(), 0, 'nothing stays behind');
});

await t.test('addresses: written as host:port, read from ready.json again and again', async (t) => {
  t.same(hostAndPort('127.0.0.1:5060'), { host: '127.0.0.1', port: 5060 });
  t.same(hostAndPort('[::1]:5060'), { host: '::1', port: 5060 });
  for (const wrong of ['', 'host', 'host:', 'host:0', 'host:70000', 'a b:1', '::1:5060'])
    t.throws(() => hostAndPort(wrong), { code: 'command-line-invalid' });
  const dir = mkdtempSync(join(tmpdir(), 'simulators-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const ask = following(dir, {});
  t.same(ask(), { mqtt: null, scaip: [] });
  const ready = (ports: object): void => writeFileSync(join(dir, 'ready.json'), JSON.stringify(ports));
  ready({ pid: 1, http: 'x', mqtt: '127.0.0.1:1883', sipUdp: '127.0.0.1:5060', sipTcp: '127.0.0.1:5061' });
  t.same(placesFor(ask(), 'tcp'), [{ host: '127.0.0.1', port: 5061, transport: 'tcp' }]);
  rmSync(join(dir, 'ready.json'));
  t.equal(ask().mqtt, '127.0.0.1:1883', 'while the centre is down the last address holds');
  ready({ mqtt: '127.0.0.1:1999' });
  t.same([ask().mqtt, placesFor(ask(), 'udp')], ['127.0.0.1:1999', []]);
  t.equal(following(dir, { mqtt: 'given:1' })().mqtt, 'given:1');
  writeFileSync(join(dir, 'ready.json'), 'half a fi');
  t.equal(readReady(dir), null);
});

await t.test('the command line says what is wrong with it', async (t) => {
  const line = readCommandLine(['evening', '--seed', '7', '--speed', '2.5', '--scaip', 'a:1, b:2', '--mqtt', 'c:3'], { DATA_DIR: 'd' });
  t.match(line, { scenario: 'evening', seed: 7, speed: 2.5, dataDir: 'd', password: 'demo-device', verbose: false });
  t.same(line.given, {
    mqtt: 'c:3',
    scaip: [
      { udp: 'a:1', tcp: 'a:1' },
      { udp: 'b:2', tcp: 'b:2' },
    ],
  });
  t.match(readCommandLine(['--list'], {}), { scenario: null, dataDir: './var', given: {} });
  const wrong: [string[], RegExp][] = [
    [[], /^Name a scenario\./],
    [['a', 'b'], /^One scenario at a time: "b" is too much\.$/],
    [['a', '--sped', '2'], /--sped/],
    [['a', '--seed', 'x'], /^--seed must be a number from 0 to \d+ \(it is "x"\)\.$/],
    [['a', '--mqtt', 'here'], /^"here" is no address; write it as host:port/],
  ];
  for (const [args, sentence] of wrong) t.throws(() => readCommandLine(args, {}), { code: 'command-line-invalid', message: sentence });
});

await t.test('what a person reads is one plain line for each event', async (t) => {
  const lines: string[] = [];
  const clock = new MovableClock(Date.UTC(2026, 0, 1, 20, 0, 3));
  const log = plainLog(clock, false, (line) => void lines.push(line));
  log.info('report-delivered', { device: '26317', code: 'manual-alarm', signal: '1A', attempt: 2, tookMs: 31 });
  log.info('report-delivered', { device: '26317', code: 'heartbeat' });
  log.debug('try-failed');
  log.child({}).error('act-failed', { error: new Error('why') });
  t.same(lines, [
    '20:00:03.000  26317         report-delivered       manual-alarm ref 1A 2 tries 31 ms\n',
    '20:00:03.000                act-failed             why\n',
  ]);
});

function simulate(args: string[]) {
  const child = spawn(process.execPath, ['--import=tsx', 'simulators/main.ts', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TAP: '' },
  });
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said.err += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  t.teardown(() => child.kill('SIGKILL'));
  return { child, said, ended };
}

await t.test('the program lists, refuses, waits for a centre, survives without one, and stops when told', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'simulators-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const listing = simulate(['--list']);
  const refused = simulate(['morning']);
  const demo = simulate(['demo', '--data-dir', dir]);
  t.equal(await listing.ended, 0);
  t.match(listing.said.out, /^demo {7}Two alarms within ten seconds/);
  t.equal(await refused.ended, 1);
  t.equal(refused.said.err, 'There is no scenario "morning"; there are demo, evening, flaky, storm.\n');
  await until('it says that it waits', () => demo.said.out.includes('Waiting for a centre'));
  const broker = await startBroker();
  const receiver = await startReceiver('udp');
  receiver.behave(accept);
  const ready = { mqtt: broker.address, sipUdp: `127.0.0.1:${receiver.port}`, sipTcp: '127.0.0.1:1' };
  writeFileSync(join(dir, 'ready.json'), JSON.stringify(ready));
  await until('the devices are there', () => broker.connects >= 7);
  await broker.stop();
  await until('they noticed', () => demo.said.out.includes('link-down'));
  const moved = await startBroker();
  writeFileSync(join(dir, 'ready.json'), JSON.stringify({ ...ready, mqtt: moved.address }));
  await until('they found the centre at its new address', () => moved.connects >= 7);
  await until('the press', () => receiver.requests().some((text) => text.includes('<stc>010</stc>')));
  demo.child.kill('SIGTERM');
  t.equal(await demo.ended, 0, demo.said.err);
  t.match(demo.said.out, /Stopped: \d+ messages delivered/);
  await moved.stop();
  await receiver.stop();
});

await t.test('the companions of a centre end when it was killed', async (t) => {
  const program = `const { spawn } = require('node:child_process');
    const child = spawn(process.execPath, ['--import=tsx', 'simulators/main.ts', 'sms-gateway'], { stdio: ['ignore', 'inherit', 'inherit'], detached: true });
    console.log(JSON.stringify({ pid: child.pid })); setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  parent.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  const closed = new Promise<void>((resolve) => parent.stdout.on('close', () => resolve()));
  await until('the gateway listens', () => out.includes('"url"'));
  const { pid } = JSON.parse(out.split('\n').find((line) => line.includes('"pid"')) ?? '') as { pid: number };
  t.teardown(() => {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended, as it should.
    }
  });
  parent.kill('SIGKILL');
  // The pipe closes when both have ended.
  await closed;
  t.match(out, /"token":"[\w-]{24}"/);
});
