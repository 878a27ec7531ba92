/** The whole centre in one process for scenarios: a clock that moves, fake phones, real stores and sockets, and a log that is read. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Redis } from 'ioredis';
import pg from 'pg';
import t, { type Test } from 'tap';
import { startCentre, type RunningCentre } from '../../src/app.ts';
import type { ProcessRole } from '../../src/app/command-line.ts';
import { type Milliseconds, MovableClock, seconds } from '../../src/base/clock.ts';
import { createLog } from '../../src/base/log.ts';
import { readSettings } from '../../src/base/settings.ts';
import type { ScaipUnit } from '../../simulators/scaip/unit.ts';
import type { FlavourName } from '../../simulators/scaip/vendors.ts';
import { MqttDevice, scaipBytes, scaipUnit } from './devices.ts';
import { Person } from './person.ts';
import { type Phones, createPhones, inOrder } from './phones.ts';
import { type Stores, startStores } from './stores.ts';

export interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly alarm?: string;
  readonly code?: string;
}

/** The sweep's turn. */
const TURN_MS: Milliseconds = 250;
/** Longer steps, and the centre would take its sockets for silent, or leases for something that nobody could renew. */
const STEP_MS: Milliseconds = 2000;
/** While nobody has a screen open or a claim. */
const LONG_STEP_MS: Milliseconds = 5000;
/** Of real time, for what is due to be done; the queue brings an ask at most 1 s late by its own clock. */
const SETTLE_WITHIN_MS = 8000;

/**
 * Nothing that is due at $1 is left undone, and the centre's connections are idle. An ask whose lease began at this
 * very instant is still in hand; a deadline that was armed for this very instant waits for the sweep's next turn, and
 * a lease that is over for that of the lease sweep.
 */
const UNSETTLED = `select
    (select count(*) from outbox)
    + (select count(*) from alarm where closed_at is null and deadline_at <= $1 and changed_at < $1)
    + (select count(*) from ask where state = 'pending' and (try_at <= $1 or (attempts > 0 and try_at = $1 + interval '10 s')))
    + (select count(*) from alarm a left join claim_lease l on l.alarm = a.number
        where a.closed_at is null and a.claimed_by is not null and (l.until is null or l.until < $1 - interval '500 ms'))
    + (select count(*) from pg_stat_activity where datname = current_database() and application_name = 'responssenter' and state <> 'idle')
    as left,
    least((select min(deadline_at) from alarm where closed_at is null), (select min(try_at) from ask where state = 'pending'),
      (select min(until) from claim_lease)) as next,
    exists (select from alarm where closed_at is null and claimed_by is not null) as claimed`;

/** One scenario's centre (or two), with its own time, people and devices; stopped when the scenario ends. */
export class Scene {
  readonly clock = new MovableClock();
  readonly start = this.clock.now();
  readonly phones: Phones = createPhones(() => this.clock);
  readonly lines: LogLine[] = [];
  /** Events of error lines that this scenario is about. */
  readonly expectedErrors: string[] = [];
  readonly stores: Stores;
  readonly #admin: pg.Pool;
  readonly #running: { centre: RunningCentre; roles: readonly ProcessRole[] }[] = [];
  readonly #folders: string[] = [];
  readonly #people: Person[] = [];
  readonly #devices: { stop(): Promise<void> }[] = [];

  constructor(stores: Stores, admin: pg.Pool) {
    this.stores = stores;
    this.#admin = admin;
  }

  /** Starts a centre on the shared stores; `dataDir` to start an earlier one again. */
  async startCentre(
    roles: readonly ProcessRole[] = ['intake', 'escalation', 'console'],
    dataDir = this.#newFolder(),
  ): Promise<RunningCentre> {
    const settings = readSettings({
      HTTP_PORT: '0',
      MQTT_PORT: '0',
      SIP_PORT: '0',
      DATA_DIR: dataDir,
      CONFIG_DIR: path.join(import.meta.dirname, '../../config'),
      // Where roles are divided, escalation cannot know where the console is.
      ...(roles.includes('console') ? {} : { PUBLIC_URL: 'http://centre.example' }),
    });
    const log = createLog('debug', { write: (line) => void this.lines.push(JSON.parse(line) as LogLine) });
    const centre = await startCentre({
      // The private servers' sockets are no URLs that a setting may have.
      settings: { ...settings, DATABASE_URL: this.stores.databaseServer.url, REDIS_URL: this.stores.redisServer.url },
      roles,
      demo: true,
      log,
      clock: this.clock,
      notifier: this.phones,
    });
    this.#running.push({ centre, roles });
    return centre;
  }

  /** The first centre that runs. */
  get centre(): RunningCentre {
    const [first] = this.#running;
    if (first === undefined) throw new Error('no centre runs');
    return first.centre;
  }

  async stopCentre(centre = this.centre): Promise<void> {
    const index = this.#running.findIndex((one) => one.centre === centre);
    if (index >= 0) this.#running.splice(index, 1);
    await centre.stop();
  }

  /** Signs in at the first centre, unless another is given. */
  async person(account: string, { ready } = this.centre): Promise<Person> {
    const person = await Person.signIn(ready.http ?? '', account);
    this.#people.push(person);
    return person;
  }

  /** The same with the live page open: an operator's claims hold as long as it is. */
  async atScreen(account: string, centre = this.centre): Promise<Person> {
    const person = await this.person(account, centre);
    await person.open();
    return person;
  }

  async mqtt(serial = 'NJ-1103-0001', { ready } = this.centre): Promise<MqttDevice> {
    const device = await MqttDevice.connect(ready.mqtt ?? '', serial);
    this.#devices.push(device);
    return device;
  }

  scaip(controllerId: string, flavour: FlavourName = 'essence', { ready } = this.centre): ScaipUnit {
    const unit = scaipUnit(ready.sipUdp ?? '', controllerId, flavour);
    this.#devices.push(unit);
    return unit;
  }

  /** A unit that knows its secret. */
  scaipWith(password: string, controllerId: string, { ready } = this.centre): ScaipUnit {
    const unit = scaipUnit(ready.sipUdp ?? '', controllerId, 'essence', password);
    this.#devices.push(unit);
    return unit;
  }

  /** A body as it is; the status of the 200 and what the centre said afterwards. */
  async scaipBody(body: string): Promise<{ status: number; said: readonly string[] }> {
    const sent = await scaipBytes(this.centre.ready.sipUdp ?? '', body);
    this.#devices.push(sent);
    return sent;
  }

  /** Everything that is due now has been done, and has reached the screens. */
  async settle(): Promise<{ readonly next: number | null; readonly claimed: boolean }> {
    const end = performance.now() + SETTLE_WITHIN_MS;
    for (let quiet = 0; ;) {
      const found = await this.#admin.query<{ left: string; next: Date | null; claimed: boolean }>(UNSETTLED, [new Date(this.clock.now())]);
      const [row] = found.rows;
      quiet = row?.left === '0' ? quiet + 1 : 0;
      if (quiet === 2) {
        await Promise.all(this.#people.map(async ({ screen }) => screen?.roundTrip()));
        return { next: row?.next?.getTime() ?? null, claimed: row?.claimed === true };
      }
      if (performance.now() > end) throw new Error(`the centre does not come to rest: ${row?.left ?? '?'} things are left undone`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Moves time on in steps, in each of which all that has become due is done before time goes on. */
  async advance(span: Milliseconds): Promise<void> {
    const end = this.clock.now() + span;
    let rest = await this.settle();
    while (this.clock.now() < end) {
      const watched = rest.claimed || this.#people.some(({ screen }) => screen?.isOpen === true);
      const step = Math.min(end - this.clock.now(), watched ? STEP_MS : LONG_STEP_MS);
      // What is due is met by itself: all that began before has then ended, and none of its looks is missed.
      const toDue = rest.next === null ? Infinity : rest.next - this.clock.now();
      await this.clock.advance(toDue > step ? step : Math.max(TURN_MS, toDue - TURN_MS));
      rest = await this.settle();
    }
  }

  /** Moves on until so many seconds after the scenario's start. */
  async at(second: number): Promise<void> {
    await this.advance(this.start + seconds(second) - this.clock.now());
  }

  /** Time goes by while no centre runs. */
  async nobodyRunsFor(span: Milliseconds): Promise<void> {
    if (this.#running.length > 0) throw new Error('a centre is running');
    await this.clock.advance(span);
  }

  /** The complete set of what was asked of whom must be this; lines as `60 s: page to leder about 1001`, in any order. */
  asked(t: Test, expected: readonly string[], what = 'all that was asked of anybody'): void {
    t.strictSame(this.phones.asked(this.start), inOrder(expected), what);
  }

  async rows<R extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<R[]> {
    return (await this.#admin.query<R>(text, values)).rows;
  }

  async end(t: Test): Promise<void> {
    await Promise.all(this.#people.map((person) => person.close()));
    await Promise.all(this.#devices.map((device) => device.stop()));
    for (const { centre } of this.#running.splice(0)) await centre.stop();
    for (const folder of this.#folders) rmSync(folder, { recursive: true, force: true });
    const errors = this.lines.filter(({ level }) => level === 'error' || level === 'fatal');
    t.strictSame([...new Set(errors.map(({ event }) => event))], this.expectedErrors, 'the log has no error line that was not expected');
    if (!t.passing()) for (const line of this.lines.filter(({ level }) => level !== 'debug')) t.comment(JSON.stringify(line));
  }

  #newFolder(): string {
    const folder = mkdtempSync(path.join(tmpdir(), 'responssenter-scene-'));
    this.#folders.push(folder);
    return folder;
  }
}

export type Scenario = (sentence: string, play: (scene: Scene, t: Test) => Promise<void>) => Promise<void>;

/** Stores for a file of scenarios; each scenario begins on empty ones. */
export async function stage(): Promise<Scenario> {
  const stores = await startStores();
  const admin = new pg.Pool({ connectionString: stores.databaseServer.url, max: 2, application_name: 'scenario' });
  admin.on('error', () => undefined);
  const redis = new Redis(stores.redisServer.url);
  t.teardown(async () => {
    redis.disconnect();
    await admin.end();
    await stores.stop();
  });
  return async (sentence, play) => {
    await t.test(sentence, async (t) => {
      await stores.empty();
      await redis.flushall();
      const scene = new Scene(stores, admin);
      try {
        await play(scene, t);
      } finally {
        await scene.end(t);
      }
    });
  };
}
